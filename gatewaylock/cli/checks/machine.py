"""What the process is given: descriptors, a watchdog without the GIL, an interpreter that can be had again."""

from __future__ import annotations

import faulthandler
import os
import resource
import subprocess
import sys
from collections.abc import Iterator

from ...system import process
from .case import Case

#: descriptors beside those of connections: lock, sockets, pipes, logs, modules being loaded
OWN = 48
LEAST, FEW = 64, 256
#: seconds that an interpreter has to start
PATIENCE = 30.0


def descriptors(case: Case) -> Iterator[tuple[str, str]]:
    """Enough for its threads and its clients."""
    prlimit = getattr(resource, "prlimit", None)  # not on macOS
    soft, hard = (
        prlimit(case.pid, resource.RLIMIT_NOFILE) if prlimit else resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    if soft == resource.RLIM_INFINITY:
        yield "ok", "no limit"
        return
    left = soft - OWN - case.threads
    text = f"{soft} (hard limit {hard}): {max(0, left)} clients at once with {case.threads} threads"
    change = "; ulimit -n, or LimitNOFILE= of its unit"
    state = "fail" if left < LEAST else "warn" if left < FEW else "ok"
    yield state, text if state == "ok" else text + change


def faults(case: Case) -> Iterator[tuple[str, str]]:
    """The second line of the watchdog can be armed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        faulthandler.dump_traceback_later(3600, exit=True, file=nowhere)
        faulthandler.cancel_dump_traceback_later()
    finally:
        os.close(nowhere)
    yield "ok", "ends the process at its deadline although the GIL is held"


def interpreter(case: Case) -> Iterator[tuple[str, str]]:
    """It can be started again, by the path that it was started with, and finds gatewaylock."""
    if not os.access(sys.executable, os.X_OK):
        yield "fail", f"{sys.executable!r} cannot be started: no restart will"
        return
    command = [sys.executable, "-m", "gatewaylock", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        yield "fail", f"{sys.executable} does not start gatewaylock: {last[0]}"
    else:
        yield "ok", f"{sys.executable} starts {done.stdout.strip()}"
    yield from _of_the_running_one(case.pid)


def _of_the_running_one(pid: int) -> Iterator[tuple[str, str]]:
    if not pid:
        return
    program = (process.words(pid) or [""])[0]
    if os.path.isabs(program) and not os.access(program, os.X_OK):
        yield "fail", f"{program}, which runs pid {pid}, is gone: no restart will start"
        return
    try:
        image = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return
    if image.endswith(" (deleted)"):
        yield (
            "warn",
            f"pid {pid} runs an interpreter that was replaced since: the next restart is of the new one",
        )
