"""An instant, not a duration: made once, when a request is accepted, and passed down."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Deadline:
    """The moment after which nobody waits any more.

    Three stages that each get "30 seconds" take 90.  Three stages that get the same instant
    take 30.  ``at`` is in seconds of ``time.monotonic()``, which on Linux all processes since
    boot share: a deadline may cross an exec.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The instant *seconds* from now; the clock is looked up here so that a test can freeze it."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds until then, never negative; ``math.inf`` for NEVER."""
        return max(0.0, self.at - time.monotonic())

    def timeout(self) -> float | None:
        """The same for ``wait(timeout=...)``, where "for ever" is spelled None."""
        return None if math.isinf(self.at) else self.left()

    def passed(self) -> bool:
        """Whether the moment is over."""
        return self.left() == 0.0

    def earlier(self, seconds: float) -> Deadline:
        """The instant *seconds* before this one."""
        return Deadline(self.at - seconds)


NEVER = Deadline(math.inf)
