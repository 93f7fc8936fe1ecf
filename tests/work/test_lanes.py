"""Lanes: queued, counted, cancelled, cleared, waited for."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from gates import LONG, Gate, blocked, consistent, quiet

from gatewaylock.core.errors import LaneClearedError
from gatewaylock.work.lanes import Lanes


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    made = Lanes(threads=8)
    yield made
    made.abandon()
    made.shutdown()


# -- in and out --------------------------------------------------------------------------------------


def test_a_task_gives_back_its_result_through_a_future(lanes: Lanes) -> None:
    def add(a: int, *, b: int) -> int:
        return a + b

    assert lanes.submit(add, 2, b=3).result(LONG) == 5
    quiet(lanes)


def test_what_cannot_be_called_is_refused_at_once(lanes: Lanes) -> None:
    with pytest.raises(TypeError, match="submit the function itself"):
        lanes.submit(print())  # type: ignore[func-returns-value, arg-type]
    assert lanes.total() == 0


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
    lanes, order = Lanes(threads=1), list[int]()
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
