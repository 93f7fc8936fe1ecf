"""The drain: asks, waits until one instant, insists, reports."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gatewaylock.core.deadline import NEVER, Deadline
from gatewaylock.core.plan import DrainReport
from gatewaylock.work import drain as room
from gatewaylock.work.drain import Drain
from gatewaylock.work.lanes import Lanes
from gatewaylock.work.runs import Runs

LONG = 10.0


class House:
    """Lanes, runs and a drain that share one condition."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.Lock())
        self.lanes, self.runs = Lanes(threads=4, changed=self.changed), Runs(self.changed)
        self.drain = Drain(self.lanes, self.runs, self.changed)
        self.opened = threading.Event()

    def task(self) -> None:
        """Submit a task that ends when the house is opened."""
        began = threading.Event()

        def work() -> None:
            began.set()
            assert self.opened.wait(LONG)

        self.lanes.submit(work)
        if self.lanes.size() == 1:
            assert began.wait(LONG)

    def started(self, deadline: Deadline = NEVER, before: str = "restart") -> Callable[[], DrainReport]:
        """A drain on a thread of its own that waits already; what gives back its report."""
        reports: list[DrainReport] = []
        thread = threading.Thread(
            target=lambda: reports.append(self.drain.run(deadline, before=before, timeout_ms=90000))
        )
        thread.start()
        self.until_waiting()

        def report() -> DrainReport:
            thread.join(LONG)
            return reports[0]

        return report

    def until_waiting(self) -> None:
        """There is no event for that."""
        until = Deadline.after(LONG)
        while not self.changed._waiters and not until.passed():  # type: ignore[attr-defined]
            time.sleep(0)


@pytest.fixture
def house(caplog: pytest.LogCaptureFixture) -> Iterator[House]:
    caplog.set_level(logging.INFO, logger="gatewaylock")
    made = House()
    yield made
    made.opened.set()
    made.lanes.abandon()
    made.lanes.shutdown()


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "gatewaylock.drain"]


def test_nothing_active_is_drained_at_once_and_in_silence(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    assert house.drain.run(NEVER, timeout_ms=90000) == DrainReport(0, 0)
    assert said(caplog) == []


def test_a_drain_in_time_counts_active_and_queued_and_says_so(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.task()
    house.task()
    run = house.runs.register("r", abort=lambda: None)
    report = house.started()
    house.opened.set()
    run.end()
    assert report() == DrainReport(2, 1) and report().complete
    assert said(caplog) == [
        (
            "INFO",
            "draining 2 active task(s) and 1 active embedded run(s) before restart (timeout 90000ms)",
        ),
        ("INFO", "all active work drained"),
    ]


def test_an_overdue_drain_aborts_every_run_and_names_what_is_left(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.task()
    asked: list[str] = []
    polite = house.runs.register("polite", abort=lambda: (asked.append("polite"), polite.end()))
    house.runs.register("stubborn\n", abort=lambda: asked.append("stubborn"))
    report = house.drain.run(Deadline.after(0.02), before="stop", timeout_ms=20)
    assert sorted(asked) == ["polite", "stubborn"]
    assert len(report.left) == 2 and not report.complete
    lines = said(caplog)
    assert lines[0][1] == "draining 1 active task(s) and 2 active embedded run(s) before stop (timeout 20ms)"
    assert lines[1] == ("WARNING", "drain timeout reached; proceeding with stop")
    assert lines[2][1].startswith('still active: task "main" work, running 0.')
    assert lines[3][1].startswith(r'still active: run "stubborn\n", running 0.')
    assert all(level == "WARNING" for level, _ in lines[1:]) and len(lines) == 4


def test_runs_are_aborted_early_and_tasks_have_until_the_deadline(house: House) -> None:
    house.task()
    run = house.runs.register("r", abort=lambda: (run.end(), house.opened.set()))
    report = house.drain.run(Deadline.after(LONG), timeout_ms=20, grace=LONG, early=lambda: LONG)
    assert report.complete


def test_compacting_runs_are_aborted_first_and_only_they(house: House) -> None:
    house.task()
    order: list[str] = []
    house.runs.register("long", abort=lambda: order.append("long"))
    compacting = house.runs.register(
        "compacting",
        abort=lambda: (order.append("compacting"), compacting.end()),
        is_compacting=lambda: True,
    )
    report = house.drain.run(Deadline.after(0.02), timeout_ms=20)
    assert order == ["compacting", "long"]
    assert report.runs == 1, "the compacting run ended before the count"


def test_what_begins_during_the_drain_is_waited_for_too(house: House) -> None:
    house.task()
    report = house.started()
    late = house.runs.register("late", abort=lambda: None)
    house.opened.set()
    assert house.lanes.wait_for_active(LONG)
    house.until_waiting()
    late.end()
    assert report() == DrainReport(1, 0)


def test_the_drain_ends_when_the_last_queued_task_is_cancelled(house: House) -> None:
    lanes = house.lanes
    house.task()
    queued = lanes.submit(int)
    lanes.hold()
    report = house.started()
    house.opened.set()
    assert lanes.wait_for_active(LONG)
    assert queued.cancel()
    assert report().complete


def test_a_hastened_drain_ends_at_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.task()
    report = house.started(Deadline.after(LONG))
    began = time.monotonic()
    house.drain.hasten(Deadline.after(0), before="stop")
    assert len(report().left) == 1
    assert time.monotonic() - began < 1
    assert said(caplog)[1] == ("WARNING", "drain timeout reached; proceeding with stop")


def test_a_drain_can_be_hastened_before_it_begins_and_never_delayed(house: House) -> None:
    house.task()
    house.drain.hasten(Deadline.after(0))
    house.drain.hasten(Deadline.after(LONG))
    assert not house.drain.run(NEVER, timeout_ms=1).complete


@pytest.mark.parametrize("when", ["compacting", "all", "is_compacting"])
def test_callbacks_that_hang_do_not_hold_the_drain(house: House, when: str) -> None:
    def hang() -> bool:
        return house.opened.wait(LONG)

    for n in range(room.ASKERS + 10):
        house.runs.register(
            f"hangs {n}",
            abort=(lambda: True) if when == "is_compacting" else hang,
            is_compacting={"compacting": lambda: True, "all": lambda: False, "is_compacting": hang}[when],
        )
    began = time.monotonic()
    report = house.drain.run(Deadline.after(0.1), timeout_ms=100)
    assert time.monotonic() - began < 0.1 + room.LAST_WORD + 1
    assert len(report.left) == 21
    house.opened.set()


def test_a_hung_compacting_run_delays_the_drain_of_the_others_by_a_second_at_most(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "COMPACTING", 0.05)
    hung = house.runs.register("h", abort=lambda: house.opened.wait(LONG), is_compacting=lambda: True)
    began = time.monotonic()
    report = house.started(Deadline.after(LONG))
    hung.end()
    assert report().complete and time.monotonic() - began < 5
    house.opened.set()


def test_every_run_was_told_when_the_drain_is_over(house: House) -> None:
    asked: list[int] = []
    for n in range(500):
        house.runs.register(f"{n}", abort=lambda n=n: asked.append(n))  # type: ignore[misc]
    house.drain.run(Deadline.after(0), timeout_ms=0)
    assert sorted(asked) == list(range(500))


def test_an_abort_that_raises_harms_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise SystemExit(3)

    asked: list[int] = []
    house.runs.register("fails", abort=fail)
    house.runs.register("works", abort=lambda: asked.append(1))
    assert len(house.drain.run(Deadline.after(0), timeout_ms=0).left) == 2
    assert asked == [1] and 'abort of run "fails" failed' in caplog.text


def test_a_drain_serves_again_for_the_next_life(house: House) -> None:
    house.task()
    house.drain.hasten(Deadline.after(0))
    assert not house.drain.run(NEVER, timeout_ms=1).complete
    house.lanes.reset()
    house.lanes.resume()
    house.opened.set()
    house.task()
    assert house.drain.run(Deadline.after(LONG), timeout_ms=1).complete
