"""The one line for ``systemctl status``: every phase has one of its own, and it says what is waited for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gatewaylock.core.deadline import NEVER, Deadline
from gatewaylock.core.plan import Action, Phase, Request
from gatewaylock.loop.tidings import Tidings


def line(phase: Phase, **more: Any) -> str:
    """The status of a gateway of paper in *phase*."""
    counts = {"total": lambda: 2, "active_count": lambda: 1}
    work = SimpleNamespace(lanes=SimpleNamespace(**counts), runs=SimpleNamespace(**counts))
    house = SimpleNamespace(work=work, listeners=SimpleNamespace(addresses=lambda: ("127.0.0.1:80",)))
    facts = {"life": 3, "reason": "why", "setback": "", "farewell": ("stopped", None), "deadline": NEVER}
    rest = {"handing": None, "proving": None, "server": None, "request": None}
    return Tidings(
        cast(Any, house), cast(Any, SimpleNamespace(phase=phase, **{**facts, **rest, **more}))
    ).status()


def test_every_phase_has_a_line_of_its_own() -> None:
    lines = {line(phase) for phase in Phase}
    assert len(lines) == len(Phase)
    assert [text for text in lines if "stopped" in text] == ["STATUS=stopped"]


@pytest.mark.parametrize("action", [Action.STOP, Action.RESTART])
def test_it_says_what_is_waited_for_and_until_when(action: Action) -> None:
    server = SimpleNamespace(in_flight=lambda: 7)
    said = line(
        Phase.DRAINING, request=Request(action, "SIGTERM"), server=server, deadline=Deadline.after(60)
    )
    what = f"life 3 drains before a {action.value}: waits for 2 tasks, 1 run, 7 requests; 60 s left"
    assert said == f"STATUS={what}"


def test_a_server_that_fails_to_answer_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> int:
        raise ValueError("no")

    assert "waits for 2 tasks, 1 run" in line(Phase.CLOSING, server=SimpleNamespace(in_flight=fails))
    assert "in_flight() failed" in caplog.text


def test_a_setback_is_told_escaped() -> None:
    assert line(Phase.SERVING, setback="no\n\x1b[31mroot") == (
        "STATUS=life 3 serves on 127.0.0.1:80; restart failed: no ... \\x1b[31mroot"
    )
