"""Ids for people, and what can be cancelled with them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from gatewaylock.core.facts import Item
from gatewaylock.work import inventory
from gatewaylock.work.inventory import Inventory
from gatewaylock.work.lanes import Lanes
from gatewaylock.work.runs import Runs

LONG = 10.0


class Desk:
    """Lanes, runs and their inventory, with a task that runs until it is told to end."""

    def __init__(self) -> None:
        self.lanes, self.runs = Lanes(threads=4), Runs()
        self.inventory = Inventory(self.lanes, self.runs)
        self.end = threading.Event()

    def busy(self, lane: str = "main") -> None:
        began = threading.Event()

        def work() -> None:
            began.set()
            self.end.wait(LONG)

        self.lanes.submit(work, lane=lane)
        assert began.wait(LONG)

    def items(self, life: int = 1) -> tuple[Item, ...]:
        return self.inventory.items(life)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.end.set()
    made.lanes.abandon()
    made.lanes.shutdown()


def test_what_runs_for_longest_comes_first_then_what_is_next(desk: Desk) -> None:
    desk.busy("a")
    desk.runs.register("job", abort=lambda: None)
    desk.busy("b")
    desk.lanes.submit(print, lane="a")
    desk.lanes.submit(print, lane="a")
    items = desk.items()
    assert [(item.kind, item.state, item.lane) for item in items] == [
        ("task", "running", "a"), ("run", "running", ""), ("task", "running", "b"),
        ("task", "queued", "a"), ("task", "queued", "a"),
    ]  # fmt: skip
    assert (
        items[0].name == 'task "a" Desk.busy.work'.replace("Desk.busy.", "") and items[1].name == 'run "job"'
    )
    assert [item.age >= 0 for item in items] == [True] * 5


def test_an_id_stays_with_its_item_and_is_never_given_again(desk: Desk) -> None:
    desk.busy()
    before = desk.items()[0].id
    seen = {before}
    for _ in range(20):
        future = desk.lanes.submit(print)
        seen |= {item.id for item in desk.items()}
        assert desk.items()[0].id == before
        future.cancel()
    assert len(seen) == 21


def test_at_most_20_items_are_shown_of_any_number(desk: Desk) -> None:
    desk.busy()
    for _ in range(1000):
        desk.lanes.submit(print)
    for n in range(30):
        desk.runs.register(str(n), abort=lambda: None)
    assert len(desk.items()) == 20


def test_nothing_that_was_shown_is_kept_alive(desk: Desk) -> None:
    desk.runs.register("job", abort=lambda: None).end()
    with desk.runs.register("again", abort=lambda: None):
        desk.items()
    gc.collect()
    assert not desk.inventory._shown


def test_a_queued_task_is_cancelled_and_the_next_one_begins(desk: Desk) -> None:
    desk.busy()
    first, second = desk.lanes.submit(print), desk.lanes.submit(lambda: "ran")
    verdict = desk.inventory.cancel(desk.items()[1].id, 1)
    assert verdict.ok and verdict.text == 'task "main" print is cancelled'
    assert first.cancelled()
    desk.end.set()
    assert second.result(LONG) == "ran"


def test_a_task_that_runs_is_refused_by_a_word_for_it(desk: Desk) -> None:
    desk.busy()
    verdict = desk.inventory.cancel(desk.items()[0].id, 1)
    assert (verdict.ok, verdict.error) == (False, "running")


def test_a_run_is_asked_to_give_up_and_may_fail_to(desk: Desk) -> None:
    asked = threading.Event()
    good = desk.runs.register("good", abort=asked.set)
    bad = desk.runs.register("bad", abort=lambda: 1 / 0)
    ids = [item.id for item in desk.items()]
    assert desk.inventory.cancel(ids[0], 1).ok and asked.is_set()
    assert desk.inventory.cancel(ids[1], 1).error == "failed"
    for run, id in ((good, ids[0]), (bad, ids[1])):
        run.end()
        assert desk.inventory.cancel(id, 1).error == "unknown"


def test_an_abort_that_hangs_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "PATIENCE", 0.05)
    desk.runs.register("stuck", abort=lambda: desk.end.wait(LONG))
    verdict = desk.inventory.cancel(desk.items()[0].id, 1)
    assert verdict.ok and "takes its time" in verdict.text


@pytest.mark.parametrize("id", ["", "1", "1.", "1.99", "2.1", "x" * 1000, "1.1\n", "\x1b[31m"])
def test_what_is_no_id_is_unknown_and_told_in_one_line(desk: Desk, id: str) -> None:
    desk.busy()
    desk.items()
    verdict = desk.inventory.cancel(id, 1)
    assert (verdict.ok, verdict.error) == (False, "unknown")
    assert verdict.text.isprintable()


def test_an_id_of_the_life_before_names_nothing(desk: Desk) -> None:
    desk.busy()
    desk.lanes.submit(print)
    old = desk.items(1)[1].id
    assert desk.inventory.cancel(old, 2).error == "unknown"
    assert desk.inventory.cancel(desk.items(2)[1].id, 2).ok


def test_a_run_that_took_the_id_of_another_is_another_item(desk: Desk) -> None:
    desk.runs.register("job", abort=lambda: None)
    old = desk.items()[0].id
    desk.runs.register("job", abort=lambda: None)
    assert desk.inventory.cancel(old, 1).error == "unknown"
    assert desk.items()[0].id != old
