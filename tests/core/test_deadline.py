from __future__ import annotations

import math

from freezegun import freeze_time

from gatewaylock.core.deadline import NEVER, Deadline


def test_a_deadline_does_not_add_up_however_often_it_is_passed_on() -> None:
    with freeze_time("2026-01-01") as clock:
        deadline = Deadline.after(30)
        clock.tick(20)
        assert round(deadline.left(), 6) == 10
        clock.tick(20)
        assert deadline.left() == 0
        assert deadline.passed()


def test_never_is_spelled_none_for_wait() -> None:
    assert NEVER.timeout() is None
    assert NEVER.left() == math.inf
    assert not NEVER.passed()


def test_the_earlier_of_two_deadlines_is_the_smaller() -> None:
    assert min(Deadline(5.0), Deadline(3.0), NEVER) == Deadline(3.0)
    assert Deadline(5.0).earlier(2.0) == Deadline(3.0)
