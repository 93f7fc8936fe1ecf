"""Signals by the thousand, with busy threads and threads that come and go beside the loop."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from speaking import Program, python

ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
BUSY = """
def spin():
    while True: sum(range(2000))
def churn():
    while True:
        t = threading.Thread(target=time.sleep, args=(0.0005,)); t.start(); t.join()
gateway.life == 1 and [threading.Thread(target=f, daemon=True).start() for f in (spin, churn)]
"""


def storm(said: Program, count: int, kinds: tuple[signal.Signals, ...]) -> None:
    draw = random.Random(count)
    for _ in range(count):
        said.signal(draw.choice(kinds))


def serves(said: Program) -> None:
    """It still does what it is told, by another way than a signal."""
    said.do("say('alive in', gateway.status().phase.value, flush=True)")
    said.hears("alive in")


def test_34000_signals_while_it_idles(run_dir: Path) -> None:
    with python("lives.py", run_dir, START=BUSY) as said:
        said.hears("serving")
        storm(said, 34_000, (signal.SIGUSR1,))
        serves(said)
        said.signal(signal.SIGTERM)
        assert said.ends() == 0
        assert "reentrant" not in said.text()


def test_33000_signals_of_all_kinds_while_it_drains(run_dir: Path) -> None:
    options = "dict(escalate=False, limits=Limits(stop=100))"
    with python("lives.py", run_dir, START=BUSY, OPTIONS=options) as said:
        said.hears("serving")
        said.do("gateway.lanes.submit(hold.wait); say('busy', flush=True)")
        said.hears("busy")
        said.signal(signal.SIGTERM)
        said.hears("draining 1 ")
        storm(said, 33_000, ALL)
        serves(said)
        said.do("hold.set()")
        said.hears("all active work drained")
        assert said.ends() == 0
        assert "reentrant" not in said.text()


def test_33000_signals_while_it_restarts_again_and_again(run_dir: Path) -> None:
    options = "dict(restart_mode='in-process', allow_sigusr1=True)"
    with python("lives.py", run_dir, START=BUSY, OPTIONS=options) as said:
        said.hears("serving")
        for _ in range(6):
            storm(said, 5_500, (signal.SIGUSR1,))
            said.hears("serving")
        serves(said)
        said.signal(signal.SIGTERM)
        assert said.ends() == 0
        assert "reentrant" not in said.text()


def test_signals_at_every_moment_of_exec_restarts_leave_it_alive(run_dir: Path) -> None:
    options = "dict(allow_sigusr1=True)"
    with python("lives.py", run_dir, OPTIONS=options) as said:
        said.hears("serving")
        for _ in range(4):
            storm(said, 1000, (signal.SIGUSR1,))
            said.hears("serving: .* life=")
        said.do("say('alive', flush=True)")
        said.hears("alive")
        said.signal(signal.SIGTERM)
        assert said.ends() == 0
