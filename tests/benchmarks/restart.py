"""Restarts under load, in each mode: what was lost, and how long nobody answered.

    python -m tests.benchmarks.restart [RESTARTS]      (200 a mode: about 15 minutes; 20: two)

16 clients in a process of their own, 6 on fresh and 6 on kept-alive connections with short requests, 4
with requests of 1.5 s.  The longest gap is between two answers to short requests; the limit beside it is
the longest request in flight, for which exec and spawn wait.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import itertools

from http_tools import Hammer
from speaking import PROGRAMS, environment, gateway, gateway_argv, started

MODES = ("exec", "spawn", "overlap")


class Timed(Hammer):
    """Remembers when each right answer came."""

    def __init__(self, to: tuple[str, int], *, fresh: int, kept: int, paths: tuple[str, ...]) -> None:
        super().__init__(to, fresh=fresh, kept=kept, paths=paths)
        self.answered: list[float] = []

    def _count(self, how: str) -> None:
        super()._count(how)
        if how == "right":
            self.answered.append(time.monotonic())


def clients(port: int) -> None:
    """Ask until stdin ends, then print how it went."""
    to = ("127.0.0.1", port)
    with (
        Timed(to, fresh=6, kept=6, paths=("/", "/fast")) as short,
        Timed(to, fresh=2, kept=2, paths=("/long",)) as long,
    ):
        print("asking", flush=True)
        sys.stdin.readline()
    every = {how: short.ended[how] + long.ended[how] for how in {**short.ended, **long.ended}}
    print(json.dumps({"ended": every, "answered": sorted(short.answered)}))


def restarts(mode: str, count: int, run_dir: str) -> None:
    """One mode, one line."""
    words = gateway_argv(
        "run", "echo_app:app", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--threads", "32"
    )
    marks: list[tuple[float, float]] = []
    with started(*words, "--restart-mode", mode, "--probation", "0.2", cwd=PROGRAMS) as said:
        port = int(said.hears(r"address=127.0.0.1:(\d+)")[1])
        argv = [sys.executable, __file__, "clients", str(port)]
        asking = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert asking.stdout and asking.stdout.readline()
        for life in range(2, count + 2):
            began = time.monotonic()
            done = gateway("restart", "--run-dir", run_dir, limit=60)
            assert f"life {life} serves" in done.stdout, done.stderr
            marks.append((began, time.monotonic()))
            threading.Event().wait(0.3)  # load between two restarts
        facts = json.loads(asking.communicate("\n", timeout=60)[0])
        assert gateway("stop", "--run-dir", run_dir).returncode == 0
    report(mode, facts, marks)


def report(mode: str, facts: dict[str, object], marks: list[tuple[float, float]]) -> None:
    """What came of it."""
    ended, answered = facts["ended"], facts["answered"]
    assert isinstance(ended, dict) and isinstance(answered, list)
    lost = {how: count for how, count in ended.items() if how != "right"}
    gaps = [(after - before, after) for before, after in itertools.pairwise(answered)]
    per = [max((gap for gap, at in gaps if began <= at <= over + 0.3), default=0.0) for began, over in marks]
    took = [over - began for began, over in marks]
    print(
        f"{mode:8} {len(marks)} restarts, {sum(ended.values())} requests, lost {lost or 0};"
        f" longest gap ms median {statistics.median(per) * 1e3:.0f}, worst {max(per) * 1e3:.0f};"
        f" asked to answered s median {statistics.median(took):.2f}",
        flush=True,
    )


def main() -> None:
    """Every mode."""
    if sys.argv[1:2] == ["clients"]:
        clients(int(sys.argv[2]))
        return
    for mode in MODES:
        with tempfile.TemporaryDirectory(prefix="gw-") as run_dir:
            restarts(mode, int((sys.argv[1:] or ["200"])[0]), run_dir)


if __name__ == "__main__":
    main()
