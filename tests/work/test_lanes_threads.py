"""The threads of lanes: as many as needed, gone when idle, missing; and everything at once."""

from __future__ import annotations

import concurrent.futures
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest
from gates import LONG, blocked, consistent, quiet, workers

from gatewaylock.work import crew
from gatewaylock.work.lanes import Lanes


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    made = Lanes(threads=8)
    yield made
    made.abandon()
    made.shutdown()


def test_ten_thousand_idle_lanes_are_gone_and_need_no_more_threads_than_allowed() -> None:
    lanes = Lanes(threads=4)
    for future in [lanes.submit(int, lane=f"chat {n}") for n in range(10_000)]:
        future.result(LONG)
    quiet(lanes)
    assert lanes._queues.lanes == {} and lanes._queues.limits == {} and len(workers()) <= 4
    lanes.shutdown()


def test_an_idle_thread_ends_by_itself_and_the_next_task_gets_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crew, "IDLE", 0.01)
    lanes = Lanes(threads=2)
    for _ in range(3):
        thread = lanes.submit(threading.current_thread).result(LONG)
        thread.join(LONG)
        assert not thread.is_alive() and lanes._crew._size == 0
    lanes.shutdown()


def test_threads_that_end_while_they_are_called_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "IDLE", 0.0005)
    lanes = Lanes(threads=3)
    until = time.monotonic() + 1.0
    pause = random.Random(7)
    while time.monotonic() < until:
        assert lanes.submit(int).result(LONG) == 0
        threading.Event().wait(pause.uniform(0, 0.001))
    quiet(lanes)
    lanes.shutdown()


def test_shutdown_leaves_no_thread(lanes: Lanes) -> None:
    together = threading.Barrier(8)
    for future in [lanes.submit(together.wait, LONG, lane=str(n)) for n in range(8)]:
        future.result(LONG)
    lanes.wait_for_active(LONG)
    mine = workers()
    lanes.shutdown()
    for thread in mine:
        thread.join(LONG)
        assert not thread.is_alive()


def test_work_that_was_accepted_is_done_after_a_shutdown_and_then_the_threads_end(lanes: Lanes) -> None:
    with blocked(lanes):
        queued = lanes.submit(int)
        mine = workers()
        lanes.shutdown()
    assert queued.result(LONG) == 0
    for thread in mine:
        thread.join(LONG)
        assert not thread.is_alive()


def test_without_a_thread_a_submit_raises_and_leaves_no_trace(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                lanes.submit(int)
            quiet(lanes)
    assert lanes.submit(int).result(LONG) == 0


def test_without_a_second_thread_the_task_waits_for_the_first(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with blocked(lanes), monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start)
        waiting = lanes.submit(int, lane="other")
        assert lanes.queued_count() == 1
    assert waiting.result(LONG) == 0
    quiet(lanes)


def test_kept_tasks_without_a_thread_run_with_the_next_submit(
    lanes: Lanes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with blocked(lanes):
        kept = lanes.submit(int)
        lanes.reset()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", cannot_start)
            lanes.resume()
        assert "no thread for queued tasks" in caplog.text
        assert lanes.submit(int).result(LONG) == kept.result(LONG) == 0


def cannot_start(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


# -- everything at once ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_whatever_many_threads_do_at_once(seed: int) -> None:
    """Submits, cancels, clears, limits and resets at random: every future ends, every count is right."""
    lanes, draw = Lanes(threads=5), random.Random(seed)
    futures: list[Future[int]] = []
    ran: Counter[int] = Counter()
    count = iter(range(10**9))

    def work(n: int) -> int:
        ran[n] += 1  # one task, one key: no two threads write the same
        if n % 50 == 0:
            raise SystemExit
        return n

    def actions(own: random.Random) -> list[Callable[[], object]]:
        lane = f"lane {own.randrange(12)}"

        def submit() -> None:
            n = next(count)
            futures.append(lanes.submit(work, n, lane=lane))

        def cancel() -> None:
            if futures:
                futures[own.randrange(len(futures))].cancel()

        return [
            *[submit] * 30,
            *[cancel] * 8,
            lambda: lanes.clear(lane),
            lambda: lanes.set_concurrency(lane, own.randrange(5)),
            lambda: lanes.wait_for_active(0.001),
            lambda: (lanes.hold(), lanes.resume()),
            lambda: (lanes.reset(), lanes.resume()),
            lambda: (lanes.live(), lanes.sizes(), lanes.size(lane)),
            lambda: consistent(lanes),
        ]

    faults: list[BaseException] = []

    def meddle(own: random.Random) -> None:
        try:
            for _ in range(1500):
                own.choice(actions(own))()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=meddle, args=(random.Random(draw.random()),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not faults
    lanes.resume()
    done, pending = concurrent.futures.wait(futures, LONG)
    assert not pending and len(done) == len(futures)
    quiet(lanes)
    assert set(ran.values()) <= {1}, "a task ran twice"
    for future in futures:
        if not future.cancelled() and future.exception(0) is None:
            assert ran[future.result(0)] == 1
    lanes.shutdown()
