"""What the history says of ends: pure, on lists of records."""

from __future__ import annotations

from typing import Any

import pytest

from gatewaylock.core.ends import delay_before, ends, young_deaths


def record(event: str, at: float, pid: int = 1, **facts: Any) -> dict[str, Any]:
    return {"event": event, "at": at, "pid": pid, **facts}


def nobody(record: object) -> bool:
    return False


def everybody(record: object) -> bool:
    return True


def test_a_stop_says_who_asked() -> None:
    [end] = ends([record("start", 10), record("end", 100, code=0, text="stopped", why="SIGTERM")], nobody)
    assert (end.at, end.text, end.died, end.lived) == (100, "stopped by SIGTERM", False, 90)


def test_a_forced_end_names_what_was_left() -> None:
    [end] = ends([record("start", 1), record("forced", 2, text="timed out", left=["task a"])], nobody)
    assert end.died and end.text == "timed out; unfinished: task a"


@pytest.mark.parametrize(("code", "died"), [(0, False), (130, False), (143, False), (1, True)])
def test_a_forced_end_of_a_stop_is_no_death(code: int, died: bool) -> None:
    [end] = ends([record("start", 1), record("forced", 2, text="timed out", code=code)], nobody)
    assert end.died is died


def test_a_start_without_an_end_was_killed_unless_it_still_runs() -> None:
    records = [record("start", 1), record("start", 2)]  # two lives of one process
    assert [end.text.startswith("killed") for end in ends(records, nobody)] == [True]
    assert ends(records, everybody) == []


def test_a_successor_that_begins_before_the_old_one_ends_is_no_death() -> None:
    records = [record("start", 1), record("start", 2, pid=2), record("end", 3, code=0, text="life 2 serves")]
    assert not any(end.died for end in ends(records, lambda start: start["pid"] == 2))


def test_a_failed_first_start_is_one_death() -> None:
    records = [record("failed", 1, text="E: x"), record("end", 1.1, code=1, text="gateway startup failed: x")]
    assert sum(end.died for end in ends(records, nobody)) == 1
    assert young_deaths(records, 2, nobody) == 1


def test_only_young_and_recent_deaths_count() -> None:
    old = [record("start", 0), record("forced", 100, text="t")]  # had served for 100 s
    young = [record("start", 200, pid=2), record("forced", 210, pid=2, text="t")]
    killed = [record("start", 250, pid=3)]
    assert young_deaths([*old, *young, *killed], 300, nobody) == 2
    assert young_deaths([*old, *young, *killed], 1000, nobody) == 0


def test_each_life_of_a_container_has_pid_1_and_is_one_of_its_own() -> None:
    records = [record("start", 10 * turn, started=1000 * turn) for turn in range(4)]
    last = records[-1]
    assert len(ends(records, lambda found: found is last)) == 3
    assert young_deaths(records, 31, lambda found: found is last) == 3


@pytest.mark.parametrize(("now", "young"), [(50, 1), (100, 0)])
def test_one_that_was_killed_nobody_knows_when_is_young_only_while_it_must_be(now: float, young: int) -> None:
    assert young_deaths([record("start", 0)], now, nobody) == young


@pytest.mark.parametrize(("next_", "young"), [(30, 1), (200, 0)])
def test_one_that_was_killed_died_before_the_next_one_began(next_: float, young: int) -> None:
    records = [record("start", 0), record("begin", next_, pid=2), record("start", next_ + 1, pid=2)]
    assert young_deaths(records, 250, lambda found: found["pid"] == 2) == young


def test_the_service_of_a_successor_says_nothing_of_the_end_of_the_old_one() -> None:
    records = [record("start", 0), record("start", 10, pid=2)]
    assert young_deaths(records, 250, lambda found: found["pid"] == 2) == 0


def test_one_that_was_killed_in_its_start_died_young_however_long_that_took() -> None:
    records = [record("begin", 0), record("begin", 250, pid=2)]
    [end] = ends(records, lambda found: found["pid"] == 2)
    assert end.text == "killed, or crashed in start(): pid 1, which had begun then, left no word"
    assert young_deaths(records, 251, lambda found: found["pid"] == 2) == 1
    assert young_deaths(records, 251, everybody) == 0


@pytest.mark.parametrize(
    ("then", "deaths"),
    [
        ([record("start", 2), record("end", 3, code=0)], 0),
        ([record("failed", 2, text="E"), record("end", 3, code=1)], 1),
        ([record("end", 2, code=0)], 0),  # a stop during start()
        ([record("forced", 2, code=1)], 1),
        ([record("end", 2, code=1)], 1),
        ([record("start", 2), record("begin", 3), record("end", 4, code=0)], 0),
    ],
)
def test_a_beginning_is_no_death_of_its_own(then: list[dict[str, Any]], deaths: int) -> None:
    assert young_deaths([record("begin", 1), *then], 5, nobody) == deaths


@pytest.mark.parametrize(
    ("deaths", "seconds"), [(0, 0), (2, 0), (3, 1), (4, 2), (5, 4), (9, 30), (10**6, 30)]
)
def test_the_delay_grows_from_the_third_death_on(deaths: int, seconds: float) -> None:
    assert delay_before(deaths, 30) == seconds
    assert delay_before(deaths, 0) == 0
