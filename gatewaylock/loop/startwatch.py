"""Somebody listens while the main thread is busy in ``start()``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from ..core.deadline import NEVER
from ..system.inbox import Inbox

log = logging.getLogger("gatewaylock.gateway")


class StartWatch:
    """Sees stop signals during ``start()``, as a context manager around it.

    A Python handler runs only when the main thread runs bytecode; the wake-up descriptor is written
    at once, even while ``start()`` blocks in C.  The messages themselves stay in the inbox: the loop
    serves them when ``start()`` is back.  ``stops`` are the signals that mean one; ``on_stop`` gets the
    number of stops so far and the signal.
    """

    def __init__(self, inbox: Inbox, stops: Collection[int], on_stop: Callable[[int, int], None]) -> None:
        self._inbox, self._stops = inbox, stops
        self._on_stop = on_stop
        self._done = self._watching = False
        self._thread = threading.Thread(target=self._watch, name="gatewaylock-start", daemon=True)

    def __enter__(self) -> StartWatch:
        try:
            self._thread.start()
            self._watching = True
        except RuntimeError as error:
            log.warning("nobody listens for a stop during start(): %s", error)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._watching:
            self._done = True
            self._thread.join(None if self._inbox.wake() else 0)

    def _watch(self) -> None:
        try:
            self._look()
        except OSError as error:
            log.warning("nobody listens for a stop during start() any more: %s", error)

    def _look(self) -> None:
        stops = 0
        while True:
            self._inbox.readable(NEVER)
            for number in self._inbox.signals():
                if number in self._stops:
                    stops += 1
                    self._on_stop(stops, number)
            if self._done:
                self._inbox.wake()  # what was read here may have been for the loop
                return
