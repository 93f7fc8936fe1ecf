"""The metrics: in the official parser's eyes, bounded, and over restarts."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from paper_site import SERVING

from gatewaylock.admin.metrics import CLASSES, METRICS, MISSING, Classes, Facts, exposition
from gatewaylock.admin.tally import BUCKETS, Drains, Tally
from gatewaylock.core.events import Event
from gatewaylock.core.plan import Phase
from gatewaylock.loop.annex import Insight
from gatewaylock.loop.news import News
from gatewaylock.loop.parts import Work

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def facts(**more: Any) -> Facts:
    return replace(Facts(SERVING, Classes().sort([("chat-1", 1, 2), ("<b>", 0, 3)])), **more)


def samples(found: Facts, accept: str = "") -> dict[str, float]:
    """What the official parser makes of it."""
    pytest.importorskip("prometheus_client")
    answer = exposition(lambda: found, accept)
    assert answer.status == 200
    if accept:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    else:
        from prometheus_client.parser import text_string_to_metric_families
    families = text_string_to_metric_families(answer.body.decode())
    return {
        f"{s.name}{sorted(s.labels.values()) or ''}": s.value for family in families for s in family.samples
    }


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_both_formats_are_read_by_their_parsers_and_name_every_metric(accept: str) -> None:
    found = samples(facts(status=replace(SERVING, time_left=3.0)), accept)
    for metric in METRICS:
        assert any(name.startswith(metric.name) for name in found), metric.name
    assert found["gatewaylock_phase['serving']"] == 1
    assert found["gatewaylock_tasks['chat', 'queued']"] == 2
    assert found["gatewaylock_tasks['other', 'queued']"] == 3


def test_without_the_library_the_endpoint_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    answer = exposition(facts, "")
    assert (answer.status, answer.body.decode()) == (501, f"{MISSING}\n")


def test_names_of_lanes_make_a_bounded_number_of_series() -> None:
    classes = Classes()
    for n in range(1000):
        first, second = chr(97 + n % 26), chr(97 + n // 26 % 26)
        found = classes.sort([(f"{first}{second}-{n}", 1, 0), (f"{n}", 0, 1)])
        assert len(found) <= CLASSES + 1
        assert sum(running for running, _ in found.values()) == 1
    assert found["other"][1] == 1


def test_a_drain_is_counted_in_its_bucket_and_in_all_above() -> None:
    drains = Drains()
    for seconds in (0.1, 7.0, 1000.0):
        drains.add(seconds)
    buckets = dict(drains.buckets())
    assert [bound for bound, _ in drains.buckets()] == [*map(str, BUCKETS), "+Inf"]
    assert (buckets["0.1"], buckets["5.0"], buckets["10.0"], buckets["300.0"], buckets["+Inf"]) == (
        1,
        1,
        2,
        2,
        3,
    )
    assert Drains(drains.kept()).buckets() == drains.buckets()
    assert Drains({"counts": [1], "sum": 2}).buckets() == Drains().buckets()  # of another version


class Counting:
    """A server that counts."""

    def counts(self) -> dict[str, int]:
        return {"in_flight": 2, "2xx": 10}


def insight(work: Work, kept: dict[str, Any], server: object = None, succeeds: str = "") -> Insight:
    return Insight(
        desk=None,  # type: ignore[arg-type]
        news=News(),
        work=work,
        phase=lambda: Phase.SERVING,
        server=lambda: server,
        history=list,
        lock_wait=0.0,
        kept=kept,
        succeeds=succeeds,
    )


def phase(was: str, now: str, edge: str) -> Event:
    return Event("phase", now, 1, 1, {"was": was, "edge": edge})


def test_counts_go_on_in_the_next_image() -> None:
    work = Work.make(1, lambda *args: None, False)
    tally = Tally(insight(work, {}, Counting()))
    tally.hear(phase("serving", "draining", "restart"))
    tally.hear(phase("draining", "closing", "drained"))
    account = {"action": "restart", "mode": "exec", "ok": False}
    tally.hear(Event("outcome", "serving", 1, 1, {"account": account}))
    tally.hear(Event("outcome", "serving", 1, 1, {"account": None}))
    work.lanes.close()
    with pytest.raises(Exception, match="draining"):
        work.lanes.submit(int)
    following = Tally(insight(Work.make(1, lambda *args: None, False), tally.kept(), Counting(), "spawn"))
    following.hear(phase("starting", "serving", "ready"))
    assert following.restarts == {"exec failed": 1, "spawn done": 1}
    assert following.refused == 1
    assert following.http() == {"2xx": 20, "in_flight": 2}
    assert following.drains.buckets()[-1] == ("+Inf", 1.0)


def test_a_life_that_ends_leaves_its_answers_to_the_count() -> None:
    servers: list[object] = [Counting()]
    seen = insight(Work.make(1, lambda *args: None, False), {})
    tally = Tally(replace(seen, server=lambda: servers[0]))
    tally.hear(phase("serving", "draining", "restart"))
    servers[0] = None
    tally.hear(phase("closing", "respawning", "closed"))
    assert tally.http() == {"2xx": 10}
    servers[0] = Counting()
    assert tally.http() == {"2xx": 20, "in_flight": 2}


def test_what_another_version_has_left_is_passed_over() -> None:
    odd = {"restarts": [1], "http": {"2xx": "many"}, "drains": 7, "refused": None, "new": {}}
    tally = Tally(insight(Work.make(1, lambda *args: None, False), odd))
    assert (tally.restarts, tally.refused, dict(tally.http())) == ({}, 0, {})
