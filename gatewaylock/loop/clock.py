"""systemd's clock over a stop or a restart: asked for more time, and believed where it gives none."""

from __future__ import annotations

import math

from ..core.deadline import NEVER, Deadline
from ..core.plan import Phase
from .house import House
from .patience import Patience
from .stopping import Stopping
from .vitals import Vitals


class Clock:
    """One stop or restart after the other; on any thread.

    A stop has two ends here, for a thread cannot speak while another one holds the GIL: a thread of ours
    turns the stop into a hasty one when no progress is to be expected, and the watchdog's second line,
    which needs no GIL, stands behind it, and moves on with whatever systemd grants.
    """

    def __init__(self, house: House, vitals: Vitals, stopping: Stopping) -> None:
        self._house, self._vitals, self._stopping = house, vitals, stopping
        self._patience: Patience | None = None
        self._stop_known = False
        self._stands = NEVER  # where the watchdog's second line does, for our sake

    @property
    def runs(self) -> bool:
        """Whether something is waited for."""
        return self._patience is not None

    def clear(self) -> None:
        """A life serves, or is parked."""
        self._patience, self._stop_known, self._stands = None, False, NEVER

    def restart(self) -> None:
        """How long systemd waits for a restart is not known."""
        self._patience = Patience(lambda: math.inf)

    def stop(self) -> None:
        """systemd's clock runs from the first word of a stop on."""
        if self._patience is None or not self._stop_known:
            self._stop_known = True
            self._patience = Patience(lambda: self._house.options.watched.kill_after)
            self._stand()

    def over(self) -> Deadline:
        """When the process has to be gone, for systemd's sake.  NEVER where a stop is not known, or ignored by rule."""
        patience, heeded = self._patience, self._vitals.stop_requested.is_set()
        if patience is None or not self._stop_known:
            return NEVER
        return patience.last if heeded or not self._stopping.ignores() else NEVER

    def look(self, live: int) -> float:
        """*live* pieces of work are left: seconds to ask for from now on, 0.0 for none."""
        patience = self._patience
        waits = patience is not None and self._vitals.phase in (Phase.DRAINING, Phase.CLOSING)
        more = patience.look(live, self._vitals.deadline) if patience and waits else 0.0
        self._stand()
        return more

    def tick(self) -> float:
        """Hurry a stop that has lost; seconds to the next look, ``math.inf`` where nothing is waited for."""
        patience = self._patience
        if patience is None:
            return math.inf
        if patience.lost():
            self._patience = None
            if self._vitals.stop_requested.is_set():  # else it was one that is ignored during a restart
                self._stopping.at_the_latest(patience.last)
        return patience.tick()

    def leave(self) -> None:
        """Nobody asks for more from now on: what still runs in the process has until ``over``."""
        over, watchdog = self.over(), self._house.watchdog
        if over < self._vitals.deadline and watchdog.armed:
            watchdog.arm(over, self._vitals.code)

    def _stand(self) -> None:
        """Each arming of the watchdog asks when it is ``over``; this one is for what has changed since."""
        over = self.over()
        if over != self._stands:
            self._stands = over
            self._house.watchdog.renew()
