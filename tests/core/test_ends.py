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
    killed = [record("start", 220, pid=3)]
    assert young_deaths([*old, *young, *killed], 300, nobody) == 2
    assert young_deaths([*old, *young, *killed], 1000, nobody) == 0


@pytest.mark.parametrize(
    ("deaths", "seconds"), [(0, 0), (2, 0), (3, 1), (4, 2), (5, 4), (9, 30), (10**6, 30)]
)
def test_the_delay_grows_from_the_third_death_on(deaths: int, seconds: float) -> None:
    assert delay_before(deaths, 30) == seconds
    assert delay_before(deaths, 0) == 0
