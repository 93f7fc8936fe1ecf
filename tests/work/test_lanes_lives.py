"""Lanes from one life to the next: closed, held, kept, reset, abandoned."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gates import LONG, Gate, blocked, consistent, quiet, workers

from gatewaylock.core.errors import GatewayDrainingError, WorkLostError
from gatewaylock.work.lanes import Lanes


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    made = Lanes(threads=8)
    yield made
    made.abandon()
    made.shutdown()


def test_closed_lanes_refuse_and_go_on_with_what_they_accepted(lanes: Lanes) -> None:
    with blocked(lanes):
        queued = lanes.submit(int)
        lanes.close()
        with pytest.raises(GatewayDrainingError, match="draining for restart; new tasks are not accepted"):
            lanes.submit(int)
        assert lanes.total() == 2
    assert queued.result(LONG) == 0
    quiet(lanes)


def test_held_lanes_begin_nothing_more(lanes: Lanes) -> None:
    with blocked(lanes) as running:
        queued = lanes.submit(int)
        lanes.hold()
    assert running.result(LONG) == "through"
    assert lanes.wait_for_active(LONG)
    assert (lanes.active_count(), lanes.queued_count()) == (0, 1) and not queued.done()
    other = lanes.submit(int, lane="other")
    assert not other.done()
    lanes.resume()
    assert queued.result(LONG) == other.result(LONG) == 0
    quiet(lanes)


def test_kept_tasks_run_after_resume_in_their_order_and_before_newer_ones(lanes: Lanes) -> None:
    order: list[int] = []
    with blocked(lanes):
        for n in range(10):
            lanes.submit(order.append, n)
        lanes.hold()
    assert lanes.wait_for_active(LONG)
    lanes.close()
    lanes.reset()
    newer = lanes.submit(order.append, 10)
    elsewhere = lanes.submit(int, lane="elsewhere")  # start() may use lanes that kept nothing
    assert elsewhere.result(LONG) == 0 and order == []
    consistent(lanes)
    lanes.resume()
    newer.result(LONG)
    assert order == list(range(11))
    quiet(lanes)


def test_kept_tasks_survive_two_resets(lanes: Lanes) -> None:
    with blocked(lanes):
        kept = lanes.submit(int)
        lanes.reset()
        consistent(lanes)
        lanes.reset()
    assert lanes.total() == 1 and not kept.done()
    lanes.resume()
    assert kept.result(LONG) == 0
    quiet(lanes)


def test_a_stuck_task_of_the_old_life_takes_neither_lane_nor_thread_nor_count_of_the_new() -> None:
    lanes = Lanes(threads=1)
    with blocked(lanes) as stuck:
        kept = lanes.submit(int)
        lanes.reset()
        assert (lanes.active_count(), lanes.queued_count(), lanes.total()) == (0, 1, 1)
        assert lanes.submit(int, lane="new").result(LONG) == 0
        lanes.resume()
        assert kept.result(LONG) == 0
        quiet(lanes)
        with blocked(lanes):
            before = lanes.total(), lanes.sizes()
            assert not stuck.done()
            assert before == (1, {"main": 1})
    assert stuck.result(LONG) == "through"  # settled its own future
    quiet(lanes)
    lanes.shutdown()


def test_the_thread_of_an_old_task_ends_with_it_though_there_is_new_work() -> None:
    lanes, gate = Lanes(threads=1), Gate()
    old_thread = lanes.submit(lambda: (gate(), threading.current_thread())[1])
    gate.entered()
    lanes.reset()
    with blocked(lanes):
        waiting = lanes.submit(threading.current_thread, lane="other")
        gate.opened.set()
        old_thread.result(LONG).join(LONG)
        assert not old_thread.result(0).is_alive() and not waiting.done()
    waiting.result(LONG)
    quiet(lanes)
    lanes.shutdown()


def test_the_end_of_an_old_task_changes_nothing_while_its_lane_is_busy_again(lanes: Lanes) -> None:
    old, new = Gate(), Gate()
    stuck = lanes.submit(old)
    old.entered()
    lanes.reset()
    lanes.submit(new)
    new.entered()
    following = lanes.submit(int)
    old.opened.set()
    assert stuck.result(LONG) == "through"
    with lanes._changed:
        assert lanes._changed.wait_for(lambda: not lanes._strays, LONG)
    assert (lanes.active_count(), lanes.queued_count()) == (1, 1) and not following.done()
    new.opened.set()
    assert following.result(LONG) == 0
    quiet(lanes)


def test_whoever_waits_for_active_work_over_a_reset_waits_for_that_work(lanes: Lanes) -> None:
    with blocked(lanes):
        pending: set[Any] = set(lanes._queues.running)
        lanes.reset()
        with lanes._changed:
            assert lanes._unfinished(pending)
    with lanes._changed:
        assert lanes._changed.wait_for(lambda: not lanes._unfinished(pending), LONG)


def test_abandoned_work_fails_at_once_whether_it_runs_waits_or_is_of_an_old_life(lanes: Lanes) -> None:
    with blocked(lanes, "old") as old:
        lanes.reset()
        with blocked(lanes) as running:
            queued, cancelled = lanes.submit(int), lanes.submit(int)
            cancelled.cancel()
            names = lanes.abandon()
            assert len(names) == 3 and all(name.startswith("task ") for name in names)
            for future, began in ((old, True), (running, True), (queued, False)):
                error = future.exception(0)
                assert isinstance(error, WorkLostError) and error.began is began
            assert isinstance(old.exception(0), WorkLostError) and cancelled.cancelled()
            assert str(running.exception(0)).startswith('a task in lane "main" was still running')
            assert lanes.total() == 0 and lanes.abandon() == ()
            with pytest.raises(GatewayDrainingError):
                lanes.submit(int)
    lanes.shutdown()


def test_what_an_abandoned_task_still_gives_back_is_dropped_in_silence(
    lanes: Lanes, caplog: pytest.LogCaptureFixture
) -> None:
    before = set(workers())
    with blocked(lanes) as returns:
        threads = set(workers()) - before
        lanes.abandon()
    for thread in threads:
        thread.join(LONG)
    assert len(threads) == 1
    assert isinstance(returns.exception(0), WorkLostError) and not caplog.records


def test_abandoning_ten_thousand_lanes_takes_no_time() -> None:
    lanes = Lanes(threads=1)
    with blocked(lanes):
        futures = [lanes.submit(int, lane=str(n)) for n in range(10_000)]
        began = time.monotonic()
        assert len(lanes.abandon()) == 21
        assert time.monotonic() - began < 5
        assert all(future.done() for future in futures)
    lanes.shutdown()


def test_lanes_live_again_after_a_shutdown(lanes: Lanes) -> None:
    lanes.submit(int).result(LONG)
    quiet(lanes)
    lanes.shutdown()
    lanes.reset()
    lanes.resume()
    assert lanes.submit(int).result(LONG) == 0
