"""What the process is given: descriptors, a watchdog without the GIL, an interpreter that can be had again."""

from __future__ import annotations

import faulthandler
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

from ...system import process
from .case import Case

#: descriptors beside those of connections: lock, sockets, pipes, logs, modules being loaded
OWN = 48
LEAST, FEW = 64, 256
#: seconds that an interpreter has to start
PATIENCE = 30.0


def descriptors(case: Case) -> Iterator[tuple[str, str]]:
    """Enough for its threads and its clients."""
    soft, whose = _limit(case)
    if soft == resource.RLIM_INFINITY:
        yield "ok", "no limit"
        return
    left = soft - OWN - case.threads
    text = f"{soft} ({whose}): {max(0, left)} clients at once with {case.threads} threads"
    change = "; ulimit -n, or LimitNOFILE= of its unit"
    state = "fail" if left < LEAST else "warn" if left < FEW else "ok"
    yield state, text if state == "ok" else text + change


def _limit(case: Case) -> tuple[int, str]:
    """Of the gateway that runs, else of the unit that is to start one, else what would be inherited from here."""
    with suppress(OSError):  # the line of the unit says that it cannot be had
        if not case.pid and (text := case.of_unit.get("LimitNOFILESoft")):
            soft = resource.RLIM_INFINITY if text == "infinity" else int(text)
            return soft, f"LimitNOFILE= of {case.unit or 'its unit'}"
    prlimit = getattr(resource, "prlimit", None)  # not on macOS
    soft, hard = (
        prlimit(case.pid, resource.RLIMIT_NOFILE) if prlimit else resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    return soft, f"hard limit {hard}"


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
