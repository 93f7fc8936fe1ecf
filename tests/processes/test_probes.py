"""What a probe is told of a gateway that is well, on its way, parked or stuck."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from speaking import Program, gateway, python

OPTIONS = "dict(restart_mode='in-process', allow_sigusr1=True, limits=Limits(stop=9, drain=9))"
STUCK = "import signal; signal.signal(signal.SIGUSR2, lambda *_: (say('stuck'), hold.wait()))"


@contextmanager
def lives(run_dir: Path, start: str = "") -> Iterator[Program]:
    with python("lives.py", run_dir, OPTIONS=OPTIONS, START=start) as said:
        yield said


def asked(run_dir: Path, word: str, patience: float = 9) -> tuple[int, str]:
    done = gateway("status", "--name", "lives", "--run-dir", run_dir, word, "--timeout", str(patience))
    return done.returncode, done.stderr.removeprefix('gateway: error: gateway "lives" ').strip()


WELL = (0, "")


def test_one_that_serves_is_live_and_ready(run_dir: Path) -> None:
    with lives(run_dir) as said:
        said.hears("serving: ")
        assert (asked(run_dir, "--live"), asked(run_dir, "--ready")) == (WELL, WELL)


def test_one_that_is_parked_is_live_and_not_ready(run_dir: Path) -> None:
    with lives(run_dir, "1 / (2 - gateway.life)") as said:
        said.hears("serving: ")
        said.signal(signal.SIGUSR1)
        said.hears("Process will stay alive")
        assert asked(run_dir, "--live") == WELL
        code, why = asked(run_dir, "--ready")
        assert code == 1 and why.startswith("is not ready: parked: "), why


def test_one_that_drains_is_live_and_not_ready(run_dir: Path) -> None:
    with lives(run_dir, "gateway.lanes.submit(hold.wait)") as said:
        said.hears("serving: ")
        said.signal(signal.SIGTERM)
        said.hears("draining 1 active task")
        assert asked(run_dir, "--live") == WELL
        code, why = asked(run_dir, "--ready")
        assert code == 1 and why.startswith("is not ready: draining"), why


def test_one_whose_start_takes_long_is_live(run_dir: Path) -> None:
    with lives(run_dir, "hold.wait()") as said:
        said.hears("start of life 1")
        assert asked(run_dir, "--live") == WELL
        assert asked(run_dir, "--ready") == (1, "is not ready: starting")


@pytest.mark.parametrize("word", ["--live", "--ready"])
def test_one_whose_main_loop_is_stuck_is_neither_although_it_can_be_asked(run_dir: Path, word: str) -> None:
    with lives(run_dir, STUCK) as said:
        said.hears("serving: ")
        said.signal(signal.SIGUSR2)
        said.hears("stuck")
        assert gateway("status", "--name", "lives", "--run-dir", run_dir).returncode == 0
        assert asked(run_dir, word, 0.3) == (1, "is stuck: its main loop has not moved for 0.3 s")


def test_one_that_does_not_run_is_neither(run_dir: Path) -> None:
    assert [asked(run_dir, word)[0] for word in ("--live", "--ready")] == [3, 3]


def test_a_probe_and_a_watch_are_two_things(run_dir: Path) -> None:
    assert gateway("status", "--run-dir", run_dir, "--watch", "--ready").returncode == 2
