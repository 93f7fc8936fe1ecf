"""What people are told, over a way through JSON and in sentences."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gatewaylock.core import sentences
from gatewaylock.core.facts import Account, DrainProgress, Item, Peer
from gatewaylock.core.plan import Phase, Status

EVIL = "a\nINFO forged\r\x1b[31m\x9b0m\u2028\u202e\ud800<b>"
PEER = Peer(7, 0, "gateway restart")
ACCOUNT = Account(
    "restart", "gateway restart (pid 7, uid 0)", "a test", 1e9, PEER, "exec", 2, 1, ("task x",), "done", 3.21, True
)  # fmt: skip
STATUS = Status(
    name="n", pid=1, phase=Phase.DRAINING, life=2, uptime=1.0, life_uptime=None, addresses=("a:1",),
    tasks_active=1, tasks_queued=0, lanes={}, runs=(), restart_mode="exec", reason="", time_left=3.0,
    proving=False,
)  # fmt: skip


@pytest.mark.parametrize("account", [ACCOUNT, replace(ACCOUNT, peer=None, text=None, took=None, left=())])
def test_an_account_goes_through_an_exec_unchanged(account: Account) -> None:
    assert Account.read(json.loads(json.dumps(account.as_dict()))) == account


@pytest.mark.parametrize("change", [{"left": 5}, {"peer": {"pid": 1}}, {"more": 1}, {"peer": 7}])
def test_what_is_no_account_is_none(change: dict[str, Any]) -> None:
    assert Account.read({**ACCOUNT.as_dict(), **change}) is None
    assert Account.read(None) is None and Account.read([]) is None and Account.read({}) is None


def test_the_status_is_json_with_everything_in_it() -> None:
    item = Item("2.7", "task", "task x", "x", "running", 1.5)
    whole = replace(
        STATUS, items=(item,), drain=DrainProgress(1, 0, item, 2.5), under_way=ACCOUNT, last_restart=ACCOUNT
    )
    facts = json.loads(json.dumps(whole.as_dict()))
    assert facts["items"][0]["id"] == facts["drain"]["oldest"]["id"] == "2.7"
    assert facts["under_way"]["peer"]["command"] == "gateway restart"
    assert facts["ready"] is False


def test_long_lane_names_are_cut_and_their_sizes_added_up() -> None:
    lanes = {"x" * 300 + "a": 1, "x" * 300 + "b": 2, "short": 3}
    assert replace(STATUS, lanes=lanes).as_dict()["lanes"] == {"x" * 80: 3, "short": 3}


@pytest.mark.parametrize("phase", Phase)
def test_ready_means_that_new_work_is_accepted_and_nothing_else(phase: Phase) -> None:
    assert replace(STATUS, phase=phase).ready is (phase is Phase.SERVING)


def test_sentences_say_who_why_what_for_and_how_it_ended() -> None:
    asked = {**ACCOUNT.as_dict(), "ok": False, "text": "the gateway is stopping\nmore"}
    who = "asked by gateway restart (pid 7, uid 0) \"gateway restart\" because of 'a test'"
    assert sentences.asked(asked) == f"restart refused, {who}: the gateway is stopping"
    waited = "waited for 2 task(s) and 1 run(s), 1 not over"
    assert sentences.ended(ACCOUNT.as_dict()) == f"restart done in 3.21 s, {who}; {waited}: done"
    assert '"gateway restart"' not in sentences.ended(ACCOUNT.as_dict(), brief=True)


def test_nothing_raw_is_in_a_sentence() -> None:
    evil = {"action": "stop", "cause": "gateway stop", "reason": EVIL, "ok": True, "text": EVIL, "peer": None}
    for said in (sentences.asked(evil), sentences.ended(evil), sentences.line(EVIL)):
        assert said.isprintable() and len(said.splitlines()) == 1
        said.encode()


def test_a_record_of_another_version_is_told_as_well_as_it_can_be() -> None:
    assert "None refused" in sentences.asked({})
    assert "not done" in sentences.ended({})
