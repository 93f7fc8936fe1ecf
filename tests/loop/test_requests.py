"""Whoever asks, and does wrong when the answer comes: it costs nobody else anything, in whatever phase."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from inside import LIMIT, Inside, Quick, inside

from gatewaylock import Gateway
from gatewaylock.core.plan import Action, Phase, Request, Verdict
from gatewaylock.system.history import History
from gatewaylock.system.rundir import RunDir

ASKED = Request(Action.RESUME, "a program")


def raises(verdict: Verdict) -> None:
    raise ZeroDivisionError(verdict.text)


def harms_nobody(room: Inside, caplog: pytest.LogCaptureFixture) -> None:
    heard = threading.Event()
    room.gateway.post(ASKED, raises)
    room.gateway.post(ASKED, lambda verdict: heard.set())
    assert heard.wait(LIMIT) and not room.over
    assert caplog.text.count("nobody took the answer") == 1, "it is asked to take it once"


def test_an_answer_that_raises_harms_nobody_while_it_serves(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with inside(run_dir) as room:
        harms_nobody(room, caplog)
    assert room.code == 0


def test_an_answer_that_raises_harms_nobody_while_the_next_try_is_waited_for(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def start(gateway: Gateway) -> Any:
        if gateway.life > 1:
            raise ValueError("no database")
        return Quick()

    diary = History(RunDir.open(str(run_dir)), "inside")
    for _ in range(20):
        diary.add({"event": "failed", "at": time.time(), "pid": 1, "text": "no database"})
    with inside(run_dir, start, restart_mode="in-process") as room:
        room.gateway.request_restart("fails")
        assert room.reaches(lambda: room.gateway.phase is Phase.PARKED)
        room.gateway.request_restart("waits for its turn")
        assert room.reaches(lambda: room.gateway.phase is Phase.RESPAWNING)
        harms_nobody(room, caplog)
    assert room.code == 0


def test_an_answer_that_raises_does_not_keep_a_stop_from_ending_the_start(run_dir: Path) -> None:
    def start(gateway: Gateway) -> Any:
        gateway.post(ASKED, raises)
        gateway.request_stop("in start()")
        assert gateway.stop_requested.wait(LIMIT)
        return Quick()

    room = Inside(run_dir, start).begin()
    assert room.ends() and (room.error, room.code) == (None, 0)
