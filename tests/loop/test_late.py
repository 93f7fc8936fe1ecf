"""What goes with a hand-over of a restart that was asked for too late."""

from __future__ import annotations

import pytest

from gatewaylock.core.facts import Peer
from gatewaylock.core.plan import Action, Mode, Request
from gatewaylock.loop import late

ASKED = Request(
    Action.RESTART, "gateway restart (pid 7, uid 0)", "new \n release", Mode.SPAWN, True, Peer(7, 0, "x")
)


@pytest.mark.parametrize("request_", [ASKED, Request(Action.RESTART, "SIGUSR1")])
def test_it_arrives_as_it_was_asked(request_: Request) -> None:
    assert late.heard(late.told(request_)) == request_


@pytest.mark.parametrize(
    "text", ["", "new release", "[1]", "7", "{}", late.told(ASKED)[5:], '{"peer": {"pid": 7, "who": 1}}']
)
def test_what_is_none_of_this_version_is_a_reason(text: str) -> None:
    assert late.heard(text) == Request(Action.RESTART, "late restart request", text)
