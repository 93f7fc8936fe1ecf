"""A thread that does something when it is due, and a sign of life that cannot be given by a dead man's hand."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Hashable

from ..core.deadline import NEVER, Deadline
from .messages import Beat

log = logging.getLogger("gatewaylock.gateway")


class Pulse:
    """Calls *tick* whenever it is due; *tick* gives back the seconds to the next time (``math.inf``: none)."""

    def __init__(self, tick: Callable[[], float]) -> None:
        self._tick = tick
        self._changed = threading.Condition()
        self._due = NEVER
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="gatewaylock-herald", daemon=True)

    def start(self) -> None:
        """Begin.  RuntimeError where no thread can be had."""
        self._thread.start()

    def wake(self) -> None:
        """It is due now; from any thread."""
        with self._changed:
            self._due = Deadline.after(0)
            self._changed.notify_all()

    def close(self) -> None:
        """No more; returns when a tick under way is over, or has taken too long for us."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        while self._wait():
            try:
                seconds = self._tick()
            except Exception:
                log.exception("systemd is told nothing for a second")
                seconds = 1.0
            with self._changed:
                self._due = min(self._due, Deadline.after(seconds))

    def _wait(self) -> bool:
        with self._changed:
            while not (self._closed or self._due.passed()):
                self._changed.wait(self._due.timeout())
            self._due = NEVER
            return not self._closed


class Heartbeat:
    """Whether the gateway has moved since the last sign of life.

    The main loop has when a message of ours came through its inbox: that a timer still runs proves
    nothing.  *crowds* gives back, for each kind of workers, what changes when one of them comes to
    something new, or something false where no work waits for a free one.
    """

    def __init__(
        self, within: float, post: Callable[[object], None], crowds: Callable[[], tuple[Hashable, ...]]
    ) -> None:
        self.interval = within / 3 if within else math.inf
        self._post, self._crowds = post, crowds
        self._seen = True
        self._asked = False
        self._last: tuple[Hashable, ...] = ()

    def moved(self) -> bool:
        """Whether it has; asks the loop for the next time."""
        seen, self._seen = self._seen, False
        if not self._asked:
            self._asked = True
            self._post(Beat(self._came_by))
        if not seen:
            return False
        crowds = self._crowds()
        if any(now and now == then for now, then in zip(crowds, self._last, strict=False)):
            return False
        self._last = crowds
        return True

    def _came_by(self) -> None:
        self._seen, self._asked = True, False
