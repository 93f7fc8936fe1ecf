"""Permits, scheduled restarts, restarts that wait until nobody is busy, the iteration hook."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator, Mapping

import pytest
from freezegun import freeze_time

from gatewaylock.core.errors import RestartFailed
from gatewaylock.work import deferral as deferral_room
from gatewaylock.work.permit import Restarts, restart_iteration_hook

LONG = 10.0


class Heard:
    """What was emitted."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[str, Mapping[str, object] | None]] = queue.SimpleQueue()

    def __call__(self, reason: str, audit: Mapping[str, object] | None) -> None:
        self.queue.put((reason, audit))

    def next(self) -> tuple[str, Mapping[str, object] | None]:
        return self.queue.get(timeout=LONG)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def restarts(heard: Heard) -> Iterator[Restarts]:
    made = Restarts(heard)
    yield made
    made.close()


# -- permits -----------------------------------------------------------------------------------------


def test_without_a_permit_nothing_is_consumed(restarts: Restarts) -> None:
    assert not restarts.consume()


def test_a_permit_is_used_once_and_two_are_used_twice(restarts: Restarts) -> None:
    restarts.authorize()
    assert [restarts.consume(), restarts.consume()] == [True, False]
    restarts.authorize()
    restarts.authorize()
    assert [restarts.consume() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("delay", "age", "good"), [(0, 4.9, True), (0, 5.1, False), (10, 14.9, True), (-9, 4.9, True)]
)
def test_a_permit_lasts_five_seconds_and_the_delay_it_was_given_for(
    restarts: Restarts, delay: float, age: float, good: bool
) -> None:
    with freeze_time("2026-01-01") as clock:
        restarts.authorize(delay)
        clock.tick(age)
        assert restarts.consume() is good


def test_expired_permits_vanish_together(restarts: Restarts) -> None:
    with freeze_time("2026-01-01") as clock:
        restarts.authorize(20)
        restarts.authorize()
        clock.tick(10)
        assert restarts.consume()  # the latest says when all expire
        restarts.authorize()
        clock.tick(15.1)
        assert not restarts.consume()
        restarts.authorize()
        assert [restarts.consume(), restarts.consume()] == [True, False]


def test_many_threads_use_each_permit_once(restarts: Restarts) -> None:
    for _ in range(100):
        restarts.authorize()
    used: list[bool] = []

    def consume() -> None:
        used.extend([restarts.consume() for _ in range(50)])

    threads = [threading.Thread(target=consume) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert used.count(True) == 100


def test_external_restarts_are_refused_until_they_are_allowed(restarts: Restarts) -> None:
    assert not restarts.external_allowed and Restarts(Heard(), True).external_allowed
    restarts.allow_external()
    assert restarts.external_allowed
    restarts.allow_external(False)
    assert not restarts.external_allowed


# -- scheduled ---------------------------------------------------------------------------------------


def test_a_scheduled_restart_is_emitted_with_its_reason_and_audit(restarts: Restarts, heard: Heard) -> None:
    audit = {"who": "tool"}
    done = restarts.schedule(0.01, "  config changed ", audit)
    assert not done.coalesced and done.cooldown_applied == 0 and done.reason == "config changed"
    assert 0 <= done.delay <= 0.02 and done.due - time.monotonic() <= 0.01
    assert heard.next() == ("config changed", audit)


@pytest.mark.parametrize(("asked", "given"), [(-5, 0), (0, 0), (2, 2), (60, 60), (3600, 60)])
def test_the_delay_is_clamped(asked: float, given: float, heard: Heard) -> None:
    restarts = Restarts(heard)
    assert round(restarts.schedule(asked).delay, 6) == given
    restarts.close()


def test_the_default_delay_is_two_seconds_and_the_reason_is_cut(restarts: Restarts) -> None:
    done = restarts.schedule(reason="x" * 500)
    assert done.delay == pytest.approx(2) and done.reason == "x" * 200


def test_a_later_request_is_served_by_the_pending_one(restarts: Restarts) -> None:
    first, second = restarts.schedule(10, "first"), restarts.schedule(20, "second")
    assert second.coalesced and second.due == first.due and second.reason == "first"
    assert second.delay == pytest.approx(10, abs=1)


def test_an_earlier_request_takes_the_place_of_the_pending_one(restarts: Restarts, heard: Heard) -> None:
    restarts.schedule(10, "late")
    assert not restarts.schedule(0, "early").coalesced
    assert heard.next()[0] == "early"
    restarts.settled()
    assert not restarts.cancel() and heard.queue.empty()


def test_a_request_while_one_is_in_flight_is_served_by_it(restarts: Restarts, heard: Heard) -> None:
    restarts.schedule(0, "one")
    heard.next()
    done = restarts.schedule(0, "two")
    assert done.coalesced and done.delay == 0 and done.reason == "one" and not restarts.cancel()
    restarts.settled()
    later = restarts.schedule(0, "three")
    assert not later.coalesced and later.reason == "three"


def test_thirty_seconds_pass_between_two_restarts(restarts: Restarts, heard: Heard) -> None:
    restarts.schedule(0)
    heard.next()
    restarts.settled()
    done = restarts.schedule(5)
    assert done.cooldown_applied == pytest.approx(30, abs=1) and done.delay == pytest.approx(35, abs=1)


def test_the_cooldown_is_over_after_thirty_seconds(heard: Heard) -> None:
    restarts = Restarts(heard)
    restarts.schedule(0)
    heard.next()
    restarts.settled()
    assert restarts._last is not None
    restarts._last -= 30  # that long ago
    assert restarts.schedule(5).cooldown_applied == 0
    restarts.close()


def test_a_cancelled_restart_does_not_come(restarts: Restarts, heard: Heard) -> None:
    restarts.schedule(0.05)
    assert restarts.cancel() and not restarts.cancel()
    restarts.schedule(0.05, "again")  # not coalesced, no cooldown: nothing was emitted
    assert heard.next()[0] == "again"


def test_an_emit_that_raises_blocks_no_later_restart(caplog: pytest.LogCaptureFixture) -> None:
    tried = threading.Event()

    def emit(reason: str, audit: object) -> None:
        tried.set()
        raise OSError("inbox gone")

    restarts = Restarts(emit)
    timer_done = restarts.schedule(0)
    assert tried.wait(LONG) and not timer_done.coalesced
    until = time.monotonic() + LONG
    while restarts._in_flight is not None and time.monotonic() < until:
        time.sleep(0)
    assert not restarts.schedule(1).coalesced and "inbox gone" in caplog.text
    restarts.close()


def test_nothing_comes_after_close_and_asking_is_refused(heard: Heard) -> None:
    restarts = Restarts(heard)
    restarts.schedule(0.02)
    deferral = restarts.defer_until_idle(lambda: 1, poll=0.01)
    restarts.close()
    assert deferral.wait(LONG) and deferral.outcome == "cancelled"
    with pytest.raises(RestartFailed, match="has ended"):
        restarts.schedule(0)
    with pytest.raises(RestartFailed, match="has ended"):
        restarts.defer_until_idle(lambda: 0)
    with pytest.raises(queue.Empty):
        heard.queue.get(timeout=0.05)


def test_many_threads_that_ask_at_once_get_one_restart(restarts: Restarts, heard: Heard) -> None:
    together, done = threading.Barrier(16), queue.SimpleQueue[bool]()

    def ask(n: int) -> None:
        together.wait(LONG)
        done.put(restarts.schedule(0.2, f"{n}").coalesced)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    heard.next()
    assert heard.queue.empty() and [done.get() for _ in range(16)].count(False) >= 1


# -- deferred ----------------------------------------------------------------------------------------


def test_a_deferred_restart_comes_when_nobody_is_busy(restarts: Restarts, heard: Heard) -> None:
    answers = iter([3, 1, 0])
    deferral = restarts.defer_until_idle(lambda: next(answers), poll=0.01, reason="update")
    assert heard.next()[0] == "update" and deferral.wait(LONG)
    assert deferral.outcome == "idle" and not deferral.cancel()


def test_a_deferred_restart_comes_anyway_after_its_longest_wait(
    restarts: Restarts, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    deferral = restarts.defer_until_idle(lambda: ["chat\n7", "b"], poll=0.01, max_wait=0.03)
    heard.next()
    assert deferral.outcome == "overdue"
    assert r'restart no longer deferred: 2 still busy ("chat\n7", "b") after 0 s' in caplog.text


def test_a_longest_wait_of_zero_is_for_ever(restarts: Restarts, heard: Heard) -> None:
    asked = threading.Semaphore(0)
    deferral = restarts.defer_until_idle(lambda: asked.release() or 1, poll=0.01, max_wait=0)
    for _ in range(20):
        assert asked.acquire(timeout=LONG)
    assert deferral.waiting and deferral.cancel()


def test_a_deferred_restart_is_called_off_at_once(restarts: Restarts, heard: Heard) -> None:
    asked = threading.Event()
    before = set(threading.enumerate())
    deferral = restarts.defer_until_idle(lambda: asked.set() or 1, poll=3600, max_wait=0)
    (thread,) = set(threading.enumerate()) - before
    assert asked.wait(LONG)
    assert deferral.cancel() and not deferral.cancel()
    thread.join(1)
    assert not thread.is_alive() and heard.queue.empty() and deferral.outcome == "cancelled"


def test_a_callback_that_raises_is_reported_and_asked_again(
    restarts: Restarts, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([OSError("db gone"), 2, OSError("db gone"), 0])

    def pending() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    restarts.defer_until_idle(pending, poll=0.01)
    heard.next()
    assert caplog.text.count("who is busy cannot be told: OSError('db gone')") == 2


def test_who_is_still_busy_is_reported_again_and_again(
    restarts: Restarts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert deferral_room.REPORT_EVERY == 30.0
    monkeypatch.setattr(deferral_room, "REPORT_EVERY", 0.02)
    reports: queue.SimpleQueue[tuple[object, float]] = queue.SimpleQueue()

    def report(busy: object, waited: float) -> None:
        reports.put((busy, waited))
        raise ValueError("of the report")

    caplog.set_level(logging.WARNING)
    deferral = restarts.defer_until_idle(lambda: 4, poll=0.01, on_report=report)
    first, second = reports.get(timeout=LONG), reports.get(timeout=LONG)
    deferral.cancel()
    assert first[0] == second[0] == 4 and 0.02 <= first[1] < second[1]
    assert "restart deferred: 4 still busy after 0 s" in caplog.text and "of the report" in caplog.text


def test_a_deferred_restart_keeps_the_cooldown(restarts: Restarts, heard: Heard) -> None:
    restarts.schedule(0)
    heard.next()
    restarts.settled()
    deferral = restarts.defer_until_idle(lambda: 0, reason="again")
    assert deferral.wait(LONG)
    until = time.monotonic() + LONG
    while restarts._pending is None and time.monotonic() < until:
        time.sleep(0)
    assert restarts._pending is not None
    assert restarts._pending.due - time.monotonic() == pytest.approx(30, abs=2)


# -- the iteration hook ------------------------------------------------------------------------------


def test_the_iteration_hook_does_nothing_the_first_time_only() -> None:
    calls: list[int] = []
    hook = restart_iteration_hook(lambda: calls.append(1))
    assert [hook(), hook(), hook()] == [False, True, True] and len(calls) == 2
