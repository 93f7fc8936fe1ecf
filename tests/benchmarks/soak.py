"""Minutes of load with restarts of every mode, broken deploys, stops and kills in random order; every promise counted.

    python -m tests.benchmarks.soak [MINUTES [SEED]]      (10, drawn)

Prints what was done, and how often each promise was looked at and broken; exit code 1 when one was.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from http_tools import Hammer
from speaking import PROGRAMS, Program, eventually, gateway, gateway_argv, started
from supervisors.service import free_port
from torture import is_free, is_quiet, kill_all, pids

MODES = ("exec", "spawn", "overlap", "in-process")
BROKEN = ("raise OSError('no database')", "this is no Python", "import os; os._exit(0)", "while True: pass")
STOP = 5.0  # seconds: the budget of a stop
LONGEST = "20"  # seconds of a restart, whose drain has a request of 0.3 s to wait for


class Soak:
    """One gateway after the other at the same address, and what became of each promise."""

    def __init__(self, where: Path, draw: random.Random) -> None:
        self.run_dir, self.deploy, self.port = where / "run", where / "deploy", free_port()
        self.deploy.mkdir()
        self.draw = draw
        self.done: Counter[str] = Counter()
        self.looked: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.requests = 0
        self._said: Program
        self._fix()

    def run(self, until: float) -> None:
        """Gateways until the instant *until*."""
        while time.monotonic() < until:
            with (
                started(*self._argv(), cwd=self.deploy, PYTHONFAULTHANDLER="1") as said,
                ExitStack() as leave,
            ):
                leave.callback(kill_all, self.run_dir)
                said.hears("serving: ")
                self._said = said
                for _ in range(self.draw.randrange(2, 8)):
                    self._under_load(self.draw.choice((self._restart, self._restart, self._deploy_broken)))
                self._end(self.draw.choice((self._stop, self._kill)))

    def _argv(self) -> list[str]:
        words = ["run", "soaked:app", "--run-dir", self.run_dir, "--bind", f"127.0.0.1:{self.port}"]
        quick = ["--preflight-timeout", "2", "--probation", "0.3", "--stop-timeout", STOP]
        return gateway_argv(*(str(word) for word in (*words, *quick)))

    def _fix(self) -> None:
        text = f"import sys\nsys.path.insert(0, {str(PROGRAMS)!r})\nfrom echo_app import app\n"
        (self.deploy / "soaked.py").write_text(text)

    def _claim(self, promise: str, kept: object, what: str = "") -> None:
        self.looked[promise] += 1
        if not kept:
            self.broken[promise] += 1
            print(f"BROKEN {promise}: {what}", flush=True)
            for pid in pids(self.run_dir):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGABRT)  # its stacks; the next round starts another
            eventually(lambda: not pids(self.run_dir), 5)
            print(self._said.text(), flush=True)

    def _under_load(self, deed: Callable[[], None]) -> None:
        with Hammer(("127.0.0.1", self.port), fresh=2, kept=2, paths=("/", "/fast", "/slow")) as clients:
            deed()
        self.requests += sum(clients.ended.values())
        self._claim("G2, G3: no request is lost by a restart", not clients.lost(), str(clients.lost()))
        self._claim("G7, G8: it serves afterwards, ready", eventually(lambda: is_quiet(self.run_dir), 15))
        self._claim("G1: the name is not free while it serves", not is_free(self.run_dir))
        self._claim("G1: one process is left", eventually(lambda: len(pids(self.run_dir)) == 1, 15))

    def _end(self, deed: Callable[[], None]) -> None:
        """Under load too, and in the middle of a restart: nobody gets half an answer or a wrong one."""
        with Hammer(("127.0.0.1", self.port), fresh=2, kept=2, paths=("/", "/fast", "/slow")) as clients:
            if self.draw.random() < 0.5:
                gateway("restart", "--no-wait", "--run-dir", self.run_dir, "--mode", self.draw.choice(MODES))
            deed()
        wrong = [how for how in clients.lost() if "200 OK" in how]
        self._claim("G2: an answer is a right one, whatever ends", not wrong, str(wrong))

    def _restart(self) -> None:
        mode = self.draw.choice(MODES)
        done = gateway("restart", "--run-dir", self.run_dir, "--mode", mode, "--timeout", LONGEST)
        self.done[f"restart, {mode}"] += 1
        self._claim("a restart succeeds", " serves (pid " in done.stdout, f"{mode}: {done.stderr}")

    def _deploy_broken(self) -> None:
        mode = self.draw.choice(MODES[:3])
        (self.deploy / "soaked.py").write_text(self.draw.choice(BROKEN))
        done = gateway("restart", "--run-dir", self.run_dir, "--mode", mode)
        self._fix()
        self.done[f"broken deploy, {mode}"] += 1
        self._claim("G4: a broken version is refused", done.returncode == 1, done.stdout)

    def _stop(self) -> None:
        began = time.monotonic()
        [pid] = pids(self.run_dir)[:1]
        os.kill(pid, self.draw.choice((signal.SIGTERM, signal.SIGINT)))
        self.done["stop"] += 1
        gone = eventually(lambda: not pids(self.run_dir), STOP + 5)
        took = time.monotonic() - began
        self._claim("G5, G6: a stop ends it in its budget", gone and took < STOP + 1, f"{took:.1f} s")
        self._claim("the name is free after the end", is_free(self.run_dir))

    def _kill(self) -> None:
        for pid in pids(self.run_dir):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.done["kill -9"] += 1
        over = eventually(lambda: is_free(self.run_dir) or is_quiet(self.run_dir), 15)
        self._claim("G1: after a kill it serves or the name is free", over)


def main() -> int:
    """The report."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(10**6)
    print(f"{minutes:g} minutes, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="gw-") as where:
        soak = Soak(Path(where), random.Random(seed))
        soak.run(time.monotonic() + minutes * 60)
    for what, count in sorted(soak.done.items()):
        print(f"{count:6}  {what}")
    print(f"{soak.requests:6}  requests")
    for promise, count in sorted(soak.looked.items()):
        print(f"{count:6}  {promise}: {soak.broken[promise] or 'never'} broken")
    return 1 if soak.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
