"""More time is asked for where work gets less, and never past our own deadline."""

from __future__ import annotations

import math

import pytest
from freezegun import freeze_time

from gatewaylock.core.deadline import NEVER, Deadline
from gatewaylock.loop.patience import STEP, Patience
from gatewaylock.loop.pulse import Heartbeat, Pulse


def test_time_passing_is_no_progress_and_counts_that_fall_are() -> None:
    with freeze_time() as clock:
        patience = Patience(lambda: 4.0)
        asked = []
        for live in (5, 5, 4, 4, 6, 5, 3, 3):
            asked.append(patience.look(live, NEVER))
            clock.tick(0.5)
        assert asked == [0, 0, 4, 0, 0, 0, 4, 0], "more work than there was, and less again, is none"
        assert not patience.lost()
        assert patience.end.left() == pytest.approx(3.0)
        clock.tick(2.0)
        assert patience.lost(), "a quarter before the kill"
        assert patience.last.left() == pytest.approx(0.5)


def test_it_never_asks_for_more_than_our_own_deadline_leaves() -> None:
    with freeze_time() as clock:
        patience, deadline = Patience(lambda: 4.0), Deadline.after(3.0)
        assert patience.look(2, deadline) == 0
        clock.tick(1)
        assert patience.look(1, deadline) == pytest.approx(2.0)
        clock.tick(2)
        assert patience.look(0, deadline) == 0


def test_the_manager_may_say_late_how_long_it_waits() -> None:
    known = [90.0]
    with freeze_time() as clock:
        patience = Patience(lambda: known[0])
        clock.tick(3.2)
        assert not patience.lost()
        known[0] = 4.0
        assert patience.lost()


def test_where_nobody_kills_nothing_is_lost() -> None:
    patience = Patience(lambda: math.inf)
    patience.look(2, NEVER)
    assert patience.look(1, NEVER) == STEP
    assert not patience.lost() and patience.tick() == 1.0


class Loop:
    """A main loop that turns when it is told to."""

    def __init__(self) -> None:
        self.inbox: list[object] = []

    def turn(self) -> None:
        for beat in self.inbox:
            beat.seen()  # type: ignore[attr-defined]
        self.inbox.clear()


def test_no_sign_of_life_while_the_loop_does_not_turn() -> None:
    loop = Loop()
    heart = Heartbeat(3.0, loop.inbox.append, lambda: ())
    assert heart.interval == 1.0
    assert heart.moved(), "the first one: it has just come here"
    assert not heart.moved() and not heart.moved()
    assert len(loop.inbox) == 1, "it is asked once"
    loop.turn()
    assert heart.moved() and not heart.moved()


def test_no_sign_of_life_while_work_waits_and_all_who_could_do_it_are_stuck() -> None:
    loop, crowds = Loop(), [frozenset({1, 2}), 0]
    heart = Heartbeat(3.0, loop.inbox.append, lambda: tuple(crowds))

    def moved() -> bool:
        loop.turn()
        return heart.moved()

    assert moved() and not moved() and not moved()
    crowds[0] = frozenset({2, 3})
    assert moved() and not moved()
    crowds[0] = frozenset()
    assert moved() and moved(), "nothing waits: long work is no hang"
    crowds[1] = 7
    assert moved() and not moved()


def test_a_pulse_survives_what_it_calls_and_ends_when_told(caplog: pytest.LogCaptureFixture) -> None:
    def tick() -> float:
        raise ValueError("no")

    pulse = Pulse(tick)
    pulse.start()
    pulse.wake()
    pulse.close()
    pulse.close()
