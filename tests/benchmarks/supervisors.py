"""Every supervisor, the real one, in every restart mode: what it sees, what is lost, what is left.

    python -m tests.benchmarks.supervisors [NAME...] [--mode MODE]       (all: about 20 minutes)

Installs what is missing: Debian's packages where apt-get can, supervisor and circus from PyPI into an
environment of its own under the cache directory.  Needs root for systemd and the containers.  For each:

    pid         as the supervisor sees it before and after 5 restarts under load (4 clients)
    lost        requests of those clients that did not get their right answer
    stop        how long the supervisor's own stop took, and who was left (nobody is right)
    kill -9     how long until the next start serves, by the supervisor alone
    state       of the service after the restarts, in the supervisor's words
    second      another start of the same gateway under the same supervisor: what the supervisor says of
                it 8 s later, and how often it has tried

Exit code 1, and "BROKEN" below the row, where a promise is: a request is lost in any mode but ``supervisor``, a
restart does not come, a pid does not stay, somebody is left, the start limit is touched, the first is disturbed by
the second, or the second is tried again where the supervisor was told not to.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import threading

from http_tools import Hammer
from speaking import eventually, gateway
from supervisors.every import EVERY
from supervisors.keeper import Keeper
from supervisors.service import Service, free_port

MODES = ("exec", "in-process", "spawn", "overlap", "supervisor")
RESTARTS, SECOND = 5, 8.0
SERVING, TAKEN = r"serving: ", r"already running"
LINE = "{:12} {:10} {:17} {:22} {:18} {:9} {:32} {}"


class Patient(Hammer):
    """Clients that take a breath after a failure, as clients do: one outage is not a thousand losses."""

    def _count(self, how: str) -> None:
        super()._count(how)
        if how != "right":
            threading.Event().wait(0.02)


def install(kinds: list[type[Keeper]]) -> Path:
    """Get what is missing; the ``bin`` of the environment for PyPI's."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    home = cache / "gatewaylock-tests" / "supervisors"
    bin_dir = home / "bin"
    missing = [
        kind for kind in kinds if any(not shutil.which(tool, path=_path(bin_dir)) for tool in kind.tools)
    ]
    pypi = [kind.pypi for kind in missing if kind.pypi]
    debian = [kind.debian for kind in missing if kind.debian and not kind.pypi]
    if pypi:
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        # setuptools: supervisor asks pkg_resources for its own version
        subprocess.run([bin_dir / "pip", "install", "-q", "setuptools<81", *pypi], check=True)
    if debian and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        words = ["apt-get", "install", "-yq", "--no-install-recommends", *debian]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return bin_dir


def _path(bin_dir: Path) -> str:
    return f"{bin_dir}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


Broken = list[str]


def row(kind: type[Keeper], mode: str, bin_dir: Path, broken: Broken) -> str:
    """One line of the table; what it shows to be *broken* is added there."""
    with tempfile.TemporaryDirectory(prefix="gw-", ignore_cleanup_errors=True) as path:
        work, port = Path(path), free_port()
        words = (
            "--restart-mode",
            mode,
            "--restart-exit-code",
            "75",
            "--probation",
            "0.2",
            "--lock-timeout",
            "0.5",
        )
        with kind(work, bin_dir) as keeper:
            one, two = (
                Service(work, name, *words, run_dir=work / "run", port=port) for name in ("one", "two")
            )
            keeper.add(one)
            keeper.add(two)
            keeper.start(one)
            one.says(SERVING)
            cells = [
                *_restarts(keeper, one, mode, broken),
                _stop(keeper, one, broken),
                _kill(keeper, one),
                _second(keeper, one, two, broken),
            ]
            pids, lost, state, stop, kill, second = cells
            return LINE.format(kind.name, mode, pids, lost, stop, kill, state, second)


def _restarts(keeper: Keeper, one: Service, mode: str, broken: Broken) -> tuple[str, str, str]:
    """(pid before and after, requests lost, state)."""
    before = keeper.pid(one)
    done = 0
    with Patient(("127.0.0.1", one.port), fresh=2, kept=2) as clients:
        for number in range(1, RESTARTS + 1):
            asked = gateway("restart", "--run-dir", one.run_dir, limit=60)
            if asked.returncode == 0 and eventually(lambda: one.said(SERVING) > number, 8):  # noqa: B023
                done += 1
            elif not one.alive():
                break
    after, lost = keeper.pid(one), sum(clients.lost().values())
    pids = f"{before} stays" if before == after else f"{before} -> {after or 'none'}"
    of = f"{lost} of {sum(clients.ended.values())}"
    state = keeper.state(one)
    if mode != "supervisor":
        broken += [f"{of} requests lost"] if lost else []
        broken += [f"{done} of {RESTARTS} restarts"] if done != RESTARTS else []
        broken += [f"{keeper.starts(one)} starts count for the limit"] if keeper.starts(one) else []
    if mode in ("exec", "in-process") and before != after:
        broken.append(f"the pid does not stay: {pids}")
    return pids, of, state if done == RESTARTS else f"{done} of {RESTARTS} restarts; {state}"


def _timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def _stop(keeper: Keeper, one: Service, broken: Broken) -> str:
    """How long it took, and who is left."""
    took = _timed(lambda: keeper.stop(one))
    left = [] if one.gone(1) else one.alive()
    broken += [f"{len(left)} left after the stop"] if left else []
    one.kill_all()
    return f"{took:.1f} s, left {len(left) or 'none'}"


def _kill(keeper: Keeper, one: Service) -> str:
    """After a fresh start: until it serves again by itself."""
    serving = one.said(SERVING)
    keeper.start(one)
    one.says(SERVING, serving + 1)
    keeper.kill(one)
    took = _timed(lambda: eventually(lambda: one.said(SERVING) > serving + 1 or _over(keeper, one), 10))
    if one.said(SERVING) > serving + 1:
        return f"{took:.1f} s"
    keeper.start(one)
    one.says(SERVING, serving + 2)
    return "ends"


def _over(keeper: Keeper, one: Service) -> bool:
    """Nobody is there who could start it again."""
    return not keeper.revives and keeper.pid(one) is None


def _second(keeper: Keeper, one: Service, two: Service, broken: Broken) -> str:
    """What comes of a rival, after a while; the first must not notice."""
    first = one.alive()
    keeper.start(two)
    two.says(TAKEN)
    threading.Event().wait(SECOND)
    tries, state = two.said(TAKEN), keeper.state(two)
    if one.alive() != first:
        broken.append(f"the first was disturbed: {first} became {one.alive()}")
    if not keeper.insists and (tries > keeper.tries or not keeper.rests(two)):
        broken.append(f"the second was tried {tries} times, and is {state}")
    return f"{tries} {'try' if tries == 1 else 'tries'}, {state}"


def show(kind: type[Keeper], mode: str, bin_dir: Path) -> bool:
    """Print the row; whether all that is promised holds."""
    broken: Broken = []
    try:
        print(row(kind, mode, bin_dir, broken), flush=True)
    except Exception as error:
        print(f"{kind.name:12} {mode:10} FAILED: {error}"[:3000], flush=True)
        return False
    if broken:
        print(f"{'':12} {'':10} BROKEN: {'; '.join(broken)}", flush=True)
    return not broken


def main() -> int:
    """All, or those that are named; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(kind.name for kind in EVERY))
    parser.add_argument("--mode", choices=MODES, action="append")
    args = parser.parse_args()
    kinds = [kind for kind in EVERY if not args.names or kind.name in args.names]
    bin_dir = install(kinds)
    heads = ("supervisor", "mode", "pid", "lost", "stop", "kill -9", "state after 5 restarts", "second start")
    print(LINE.format(*heads), flush=True)
    held = []
    for kind in kinds:
        why = kind.why_not(bin_dir)
        held += [show(kind, mode, bin_dir) for mode in args.mode or MODES if not why]
        if why:
            print(f"{kind.name:12} not here: {why}", flush=True)
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
