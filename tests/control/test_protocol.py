"""The lines of the control socket, and whatever else somebody may send."""

from __future__ import annotations

import json
import math
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_desk import FakeDesk, client, heard, line, serving
from fuzz import LINES, fuzz
from hypothesis import HealthCheck, given, settings

from gatewaylock import control
from gatewaylock.control import protocol
from gatewaylock.control.protocol import ERRORS, VERBS, ProtocolError, read_request
from gatewaylock.core.facts import Peer
from gatewaylock.core.plan import QUIET_LIMIT, Action, Mode, Verdict

PEER = Peer(7, 0, "gateway")
FUZZED = settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def asked(**fields: Any) -> protocol.Asked:
    return read_request(line(**fields), "who", lambda: PEER)


@pytest.mark.parametrize("action", Action)
def test_each_action_is_a_verb_whose_request_says_who_asked(action: Action) -> None:
    said = asked(verb=action.value, reason="why", item="1.1")
    assert said.request is not None and said.request.action is action
    assert said.request.cause == f"gateway {action.value} (who)"
    assert (said.request.reason, said.request.peer, said.request.limit) == ("why", PEER, QUIET_LIMIT)


@pytest.mark.parametrize("verb", ["status", "watch"])
def test_who_only_looks_makes_no_request_and_is_not_looked_up(verb: str) -> None:
    def nobody() -> Peer:
        raise AssertionError("looked up")

    assert read_request(line(verb=verb), "who", nobody).request is None


def test_what_is_not_known_is_passed_over_and_what_is_given_is_read() -> None:
    said = asked(verb="restart", mode="spawn", force=True, wait=True, colour="blue").request
    assert said is not None and (said.mode, said.force) == (Mode.SPAWN, True)
    assert asked(verb="quiet", limit=5).request.limit == 5.0  # type: ignore[union-attr]
    assert len(asked(verb="stop", reason="x" * 5000).request.reason) == 200  # type: ignore[union-attr]


@pytest.mark.parametrize("limit", [0, -1, 1e9, math.inf, math.nan, True, "5", None, [5], 10**400])
def test_a_limit_that_is_none_is_refused(limit: object) -> None:
    with pytest.raises(ProtocolError, match="limit must be"):
        asked(verb="quiet", limit=limit)


@pytest.mark.parametrize("item", ["", "x" * 41, 7, None, ["1.1"]])
def test_what_to_cancel_is_a_short_text(item: object) -> None:
    with pytest.raises(ProtocolError, match="item must be"):
        asked(verb="cancel", item=item)
    with pytest.raises(ProtocolError, match="item must be"):
        asked(verb="cancel")


def test_the_page_of_the_protocol_names_every_verb() -> None:
    page = control.__doc__ or ""
    assert f"version {protocol.VERSION} of" in page and f"{protocol.LINE:,} bytes" in page
    for verb in VERBS:
        assert any(row.split()[:1] == [verb] for row in page.splitlines()), verb


@FUZZED
@given(LINES)
def test_any_bytes_are_a_request_or_a_refusal(sent: bytes) -> None:
    try:
        said = read_request(sent, "who", lambda: PEER)
    except ProtocolError as error:
        assert error.error in ERRORS
        json.dumps(str(error)).encode()
    else:
        assert said.verb in VERBS
        if said.request:
            assert 0 < said.request.limit <= protocol.LONGEST_QUIET
            assert len(said.request.reason) <= protocol.LONGEST_REASON


@pytest.fixture(scope="module")
def desk() -> Iterator[tuple[FakeDesk, str]]:
    desk = FakeDesk(Verdict.no("not now"))
    with tempfile.TemporaryDirectory(prefix="gw-") as where, serving(Path(where), desk) as (_, path):
        yield desk, path


@FUZZED
@given(LINES)
def test_any_bytes_get_one_answer_or_none_and_the_next_client_is_served(
    desk: tuple[FakeDesk, str], sent: bytes
) -> None:
    fuzz(desk[1], sent)


def test_after_all_of_that_it_serves(desk: tuple[FakeDesk, str]) -> None:
    with client(desk[1]) as asking:
        asking.sendall(line(verb="status"))
        assert heard(asking)["ok"]
        asking.shutdown(socket.SHUT_WR)
