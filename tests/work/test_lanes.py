"""Lanes: queued, counted, cleared, carried over from one life to the next."""

from __future__ import annotations

import concurrent.futures
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from gatewaylock.core.errors import GatewayDrainingError, LaneClearedError, WorkLostError
from gatewaylock.work import crew
from gatewaylock.work.lanes import Lanes

LONG = 10.0  # seconds after which a test that hangs fails


def quiet(lanes: Lanes) -> None:
    """Wait until every worker has counted out what it did; then there must be nothing left of it."""
    with lanes._changed:
        assert lanes._changed.wait_for(lambda: not lanes.total(), LONG)
        assert not lanes._queues.running and not lanes._queues.ready and not lanes._queues.lanes
    assert (lanes.total(), lanes.active_count(), lanes.queued_count(), lanes.sizes()) == (0, 0, 0, {})


def consistent(lanes: Lanes) -> None:
    """What must be true whenever nobody holds the lock."""
    with lanes._changed:
        queued = sum(len(lane.queue) for lane in lanes._queues.lanes.values())
        assert lanes._queues.total == queued + len(lanes._queues.ready) + len(lanes._queues.running)
        slots = Counter(task.lane for task in (*lanes._queues.ready, *lanes._queues.running))
        for name, lane in lanes._queues.lanes.items():
            assert lane.name == name and lane.size() > 0, "an idle lane stays"
            assert lane.slots == slots.pop(lane, 0)
            assert not lane.queue or lane.held or lane.slots >= lane.limit, "a lane is wedged"
        assert not slots
        team = lanes._crew
        if lanes._queues.ready and not lanes._queues.held:
            assert team._coming or (not team._idle and team._size == team._most), "nobody comes"


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    made = Lanes(threads=8)
    yield made
    made.abandon()
    made.shutdown()


class Gate:
    """A task that says when it began and ends when it is told to."""

    def __init__(self) -> None:
        self.began, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.opened.wait(LONG)
        return "through"

    def entered(self) -> Gate:
        assert self.began.wait(LONG)
        return self


@contextmanager
def blocked(lanes: Lanes, lane: str = "main") -> Iterator[Future[str]]:
    """*lane* has one task that runs until the block is left."""
    gate = Gate()
    future = lanes.submit(gate, lane=lane)
    gate.entered()
    try:
        yield future
    finally:
        gate.opened.set()


# -- in and out --------------------------------------------------------------------------------------


def test_a_task_gives_back_its_result_through_a_future(lanes: Lanes) -> None:
    def add(a: int, *, b: int) -> int:
        return a + b

    assert lanes.submit(add, 2, b=3).result(LONG) == 5
    quiet(lanes)


def test_a_blank_lane_is_main(lanes: Lanes) -> None:
    with blocked(lanes, " \t"):
        assert lanes.sizes() == {"main": 1} and lanes.size("") == lanes.size() == 1


def test_a_lane_runs_one_task_at_a_time_in_the_order_they_came(lanes: Lanes) -> None:
    seen: list[int] = []
    inside = threading.Semaphore(1)

    def work(n: int) -> None:
        assert inside.acquire(blocking=False)
        seen.append(n)
        inside.release()

    for future in [lanes.submit(work, n) for n in range(2000)]:
        future.result(LONG)
    assert seen == list(range(2000))


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_task_raises_goes_into_its_future_and_harms_nothing(
    lanes: Lanes, error: BaseException
) -> None:
    def work() -> None:
        raise error

    for _ in range(20):
        assert lanes.submit(work).exception(LONG) is error
    assert lanes.submit(int).result(LONG) == 0
    quiet(lanes)


def test_a_callback_that_raises_systemexit_harms_nothing(lanes: Lanes) -> None:
    def leave(future: Future[int]) -> None:
        raise SystemExit

    with blocked(lanes):
        lanes.submit(int).add_done_callback(leave)
    assert lanes.submit(int).result(LONG) == 0
    quiet(lanes)


def test_a_count_falls_only_after_the_callbacks_of_the_future(lanes: Lanes) -> None:
    counts: list[int] = []
    with blocked(lanes) as future:
        future.add_done_callback(lambda _: counts.append(lanes.total()))
    quiet(lanes)
    assert counts == [1]


def test_a_future_that_its_caller_settled_does_not_wedge_the_lane(
    lanes: Lanes, caplog: pytest.LogCaptureFixture
) -> None:
    with blocked(lanes):
        lanes.submit(int).set_result(7)
    assert lanes.submit(int).result(LONG) == 0
    quiet(lanes)


def test_a_task_may_wait_for_tasks_it_submits(lanes: Lanes) -> None:
    def nested(depth: int) -> int:
        return 1 + lanes.submit(nested, depth - 1, lane=f"depth {depth}").result(LONG) if depth else 0

    assert lanes.submit(nested, 6).result(LONG) == 6


def test_a_busy_lane_does_not_starve_another() -> None:
    lanes = Lanes(threads=1)
    done: list[str] = []
    with blocked(lanes, "big"):
        for _ in range(10_000):
            lanes.submit(done.append, "big", lane="big")
        lanes.submit(done.append, "small", lane="small")
    quiet(lanes)
    assert done.index("small") < 3 and len(done) == 10_001
    lanes.shutdown()


def test_more_tasks_than_threads_wait_for_a_thread() -> None:
    lanes, gates = Lanes(threads=3), [Gate() for _ in range(9)]
    futures = [lanes.submit(gate, lane=str(n)) for n, gate in enumerate(gates)]
    for gate in gates[:3]:
        gate.entered()
    assert (lanes.active_count(), lanes.queued_count(), lanes.total()) == (3, 6, 9)
    for gate in gates:
        gate.opened.set()
    assert {future.result(LONG) for future in futures} == {"through"}
    quiet(lanes)
    lanes.shutdown()


def test_all_threads_come_although_each_is_called_by_the_one_before() -> None:
    lanes, together = Lanes(threads=64), threading.Barrier(64)
    futures = [lanes.submit(together.wait, LONG, lane=str(n)) for n in range(64)]
    assert sorted(future.result(LONG) for future in futures) == list(range(64))
    quiet(lanes)
    lanes.shutdown()


# -- concurrency -------------------------------------------------------------------------------------


def test_raising_the_concurrency_starts_waiting_tasks_at_once(lanes: Lanes) -> None:
    gates = [Gate() for _ in range(5)]
    for gate in gates:
        lanes.submit(gate)
    gates[0].entered()
    lanes.set_concurrency("main", 3)
    for gate in gates[1:3]:
        gate.entered()
    consistent(lanes)
    assert (lanes.active_count(), lanes.size()) == (3, 5) and not gates[3].began.is_set()
    for gate in gates:
        gate.opened.set()
    quiet(lanes)


@pytest.mark.parametrize("n", [0, -5])
def test_a_concurrency_below_one_becomes_one(lanes: Lanes, n: int) -> None:
    lanes.set_concurrency("main", n)
    assert lanes.submit(int).result(LONG) == 0


def test_the_concurrency_of_an_idle_lane_is_remembered(lanes: Lanes) -> None:
    lanes.set_concurrency("main", 2)
    for _ in range(2):
        together = threading.Barrier(2)
        futures = [lanes.submit(together.wait, LONG) for _ in range(2)]
        assert {future.result(LONG) for future in futures} == {0, 1}
        quiet(lanes)
        lanes.reset()


def test_lowering_the_concurrency_binds_tasks_that_have_not_begun() -> None:
    lanes, order = Lanes(threads=1), []
    lanes.set_concurrency("main", 4)
    with blocked(lanes, "other"):
        for n in range(6):
            lanes.submit(order.append, n)
        lanes.set_concurrency("main", 1)
        consistent(lanes)
        assert lanes._queues.lanes["main"].slots == 1
    quiet(lanes)
    assert order == list(range(6))
    lanes.shutdown()


# -- cancelled, cleared ------------------------------------------------------------------------------


def test_a_cancelled_task_leaves_its_lane_at_once_and_those_behind_it_move_up(lanes: Lanes) -> None:
    with blocked(lanes):
        first, second = lanes.submit(int), lanes.submit(int)
        assert first.cancel() and first.cancel()
        assert lanes.size() == 2
        done, _ = concurrent.futures.wait([first], LONG)
        assert done == {first}
        consistent(lanes)
    assert second.result(LONG) == 0
    quiet(lanes)


def test_a_running_task_cannot_be_cancelled(lanes: Lanes) -> None:
    with blocked(lanes) as future:
        assert not future.cancel()
        assert lanes.size() == 1
    assert future.result(LONG) == "through"


def test_cancelling_a_task_that_only_lacks_a_thread_lets_the_next_of_its_lane_run() -> None:
    lanes = Lanes(threads=1)
    with blocked(lanes, "other"):
        ready, queued = lanes.submit(int), lanes.submit(int)
        assert ready.cancel()
        consistent(lanes)
    assert queued.result(LONG) == 0
    quiet(lanes)
    lanes.shutdown()


def test_clear_fails_what_is_queued_and_leaves_what_runs(lanes: Lanes) -> None:
    with blocked(lanes) as running, blocked(lanes, "other"):
        queued = [lanes.submit(int) for _ in range(5)]
        queued[0].cancel()
        assert lanes.clear("") == 4
        consistent(lanes)
        errors = [future.exception(LONG) for future in queued[1:]]
        assert {str(e) for e in errors} == {'Command lane "main" cleared'}
        assert all(isinstance(e, LaneClearedError) and e.lane == "main" for e in errors)
        assert lanes.sizes() == {"main": 1, "other": 1}
        assert lanes.clear("nobody") == 0
    assert running.result(LONG) == "through"
    assert lanes.submit(int).result(LONG) == 0


# -- waiting -----------------------------------------------------------------------------------------


def test_waiting_sees_what_ran_at_the_call_and_not_what_came_later(lanes: Lanes) -> None:
    first, second = Gate(), Gate()
    lanes.submit(first, lane="a")
    first.entered()
    answers: list[bool] = []
    lock, asked = threading.Lock(), threading.Event()

    def ask() -> None:
        with lock:
            asked.set()
        answers.append(lanes.wait_for_active(LONG))

    waiter = threading.Thread(target=ask)
    waiter.start()
    asked.wait(LONG)
    while not lanes._watchers:  # until it waits: there is no event for that
        time.sleep(0)
    lanes.submit(second, lane="b")
    second.entered()
    first.opened.set()
    waiter.join(LONG)
    assert answers == [True] and lanes.active_count() == 1
    second.opened.set()


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_waiting_is_over_in_time_with_work_active(lanes: Lanes, timeout: float) -> None:
    with blocked(lanes):
        began = time.monotonic()
        assert lanes.wait_for_active(timeout) is False
        assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("timeout", [0, None, float("inf"), 1e12])
def test_waiting_for_nothing_is_over_at_once(lanes: Lanes, timeout: float | None) -> None:
    assert lanes.wait_for_active(timeout) is True


def test_a_late_task_warns_and_tells_how_long_and_behind_how_many(
    lanes: Lanes, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[float, int]] = []

    def failing(waited: float, ahead: int) -> None:
        told.append((waited, ahead))
        raise ValueError("of the callback")

    with blocked(lanes, "chat\n\x1b[31m7"):
        lanes.submit(int, lane="chat\n\x1b[31m7")
        late = lanes.submit(int, lane="chat\n\x1b[31m7", warn_after=0.0, on_wait=failing)
        patient = lanes.submit(int, lane="chat\n\x1b[31m7", warn_after=LONG, on_wait=failing)
    assert (late.result(LONG), patient.result(LONG)) == (0, 0)
    assert len(told) == 1 and told[0][1] == 2 and told[0][0] > 0
    warning = next(r for r in caplog.records if r.levelno == logging.WARNING)
    assert warning.name == "gatewaylock.lanes"
    assert warning.getMessage().startswith(r'lane wait exceeded: lane="chat\n\x1b[31m7" waitedMs=')
    assert warning.getMessage().endswith("queueAhead=2")
    assert "of the callback" in caplog.text
    quiet(lanes)


# -- names -------------------------------------------------------------------------------------------


def test_live_names_what_is_unfinished_longest_running_first_and_at_most_twenty(lanes: Lanes) -> None:
    def handle_message() -> None: ...

    with blocked(lanes, 'chat "7"\n'):
        for _ in range(30):
            lanes.submit(handle_message, lane='chat "7"\n')
        names = lanes.live()
        assert len(names) == 21 and names[-1] == "and 11 more"
        assert names[0] == r'task "chat \"7\"\n" Gate, running 0.0 s'
        assert names[1] == r'task "chat \"7\"\n" handle_message, queued 0.0 s'
        assert lanes.clear('chat "7"\n') == 30


def test_only_the_busiest_hundred_lanes_are_listed() -> None:
    lanes = Lanes(threads=1)
    with blocked(lanes, "busy"):
        lanes.submit(int, lane="busy")
        for n in range(300):
            lanes.submit(int, lane=f"lane {n}")
        assert len(lanes.sizes()) == 100 and next(iter(lanes.sizes().items())) == ("busy", 2)
    quiet(lanes)
    lanes.shutdown()


# -- from one life to the next -----------------------------------------------------------------------


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


# -- threads -----------------------------------------------------------------------------------------


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("gatewaylock-worker")]


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
