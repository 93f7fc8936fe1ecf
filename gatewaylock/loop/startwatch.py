"""Somebody listens while the main thread cannot: it is busy in ``start()``, or ends the interpreter."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Collection

from ..core.deadline import NEVER
from ..system.inbox import Inbox

log = logging.getLogger("gatewaylock.gateway")


class StartWatch:
    """Sees stop signals during ``start()``, as a context manager around it, or (``begin``) from now on.

    A Python handler runs only when the main thread runs bytecode; the wake-up descriptor is written
    at once, even while ``start()`` blocks in C.  The messages themselves stay in the inbox: the loop
    serves them when ``start()`` is back.  ``stops`` are the signals that mean one; ``on_stop`` gets its
    name.
    """

    def __init__(self, inbox: Inbox, stops: Collection[int], on_stop: Callable[[str], None]) -> None:
        self._inbox, self._stops = inbox, stops
        self._on_stop = on_stop
        self._done = self._watching = False
        self._thread = threading.Thread(target=self._watch, name="gatewaylock-start", daemon=True)

    def __enter__(self) -> StartWatch:
        self.begin()
        return self

    def begin(self) -> None:
        """Watch, until the process ends."""
        try:
            self._thread.start()
            self._watching = True
        except RuntimeError as error:
            log.warning("nobody listens for a stop meanwhile: %s", error)

    def __exit__(self, *exc_info: object) -> None:
        if self._watching:
            self._done = True
            self._thread.join(None if self._inbox.wake() else 0)

    def _watch(self) -> None:
        try:
            self._look()
        except OSError as error:
            log.warning("nobody listens for a stop any more: %s", error)

    def _look(self) -> None:
        while True:
            self._inbox.readable(NEVER)
            for number in self._inbox.signals():
                if number in self._stops:
                    self._on_stop(signal.Signals(number).name)
            if self._done:
                self._inbox.wake()  # what was read here may have been for the loop
                return
