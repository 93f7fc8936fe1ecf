"""How long systemd still waits for the end of a stop, and when it is to be asked for more time.

    asked to stop          a count fell: more time           no count falls
    |----- kill_after -----|
                  |----- kill_after -----|
                                         |----- kill_after -----|
                                                          ^     ^
                                             we end by ourselves systemd kills

Time is asked for where work gets less, never for the mere hope of it, and never past our own deadline.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..core.deadline import Deadline

#: what one step of progress buys where nobody knows how long systemd waits (seconds)
STEP = 10.0


class Patience:
    """Of one stop or restart.

    ``kill_after``: seconds from the stop to the kill, ``math.inf`` for never or not known; asked anew
    each time, for the manager may tell it late.
    """

    def __init__(self, kill_after: Callable[[], float]) -> None:
        self._kill_after = kill_after
        self._began = Deadline.after(0)
        self._extended = self._began
        self._least = math.inf

    @property
    def end(self) -> Deadline:
        """systemd waits until then at least."""
        return max(Deadline(self._began.at + self._kill_after()), self._extended)

    @property
    def _margin(self) -> float:
        """Seconds that we want to be gone before the kill; those of ``Limits.capped``."""
        return min(5.0, self._kill_after() / 4)

    def look(self, live: int, deadline: Deadline) -> float:
        """*live* pieces of work are left: seconds to ask for from now on, 0.0 for none.  Ours is over at *deadline*."""
        if live >= self._least:
            return 0.0
        first, self._least = math.isinf(self._least), live
        known = self._kill_after()
        more = min(STEP if math.isinf(known) else known, deadline.left())
        if first or more <= 0:
            return 0.0
        self._extended = max(self._extended, Deadline.after(more))
        return more

    def lost(self) -> bool:
        """Whether no more progress is to be expected in time: then it is better to end now than to be killed."""
        return self.end.earlier(self._margin).passed()

    @property
    def last(self) -> Deadline:
        """When the process has to be gone at the latest, once ``lost``."""
        return self.end.earlier(self._margin / 2)

    def tick(self) -> float:
        """Seconds between two looks."""
        return min(1.0, max(0.05, self._kill_after() / 8))
