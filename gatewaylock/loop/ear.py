"""Somebody hears a stop when the loop does not, because a line in the log holds it, or a listener.

A handler of signals runs even then: the kernel interrupts what the main thread waits in.  The loop itself
does not, and a stop that nobody serves would be ignored for ever.
"""

from __future__ import annotations

import logging
import queue
import signal
import threading

from .house import House
from .stopping import Stopping

log = logging.getLogger("gatewaylock.gateway")

#: seconds that the loop has, before it counts as stuck
PATIENCE = 0.2


class Ear:
    """A thread that waits for alarms of the inbox, as a context manager around the loop."""

    def __init__(self, house: House, stopping: Stopping) -> None:
        self._inbox, self._stops, self._stopping = house.inbox, house.stops(), stopping
        self._escalate = house.options.escalate
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="gatewaylock-ear", daemon=True)
        self._listens = False

    def __enter__(self) -> Ear:
        try:
            self._thread.start()
            self._listens = True
        except RuntimeError as error:
            log.warning("nobody hears a stop for a loop that is stuck: %s", error)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        if self._listens:
            self._inbox.alarms.put(0)
            self._thread.join()

    def _listen(self) -> None:
        unheard = 0
        while not self._over.is_set():
            cause, turns = self._inbox.alarms.get(), self._inbox.turns
            if cause not in self._stops or self._over.wait(PATIENCE):
                continue
            before, more = unheard, self._more()
            unheard = before + 1 + more if self._inbox.is_stuck(turns) else 0
            if unheard and not before:  # the first one's deadline stands
                self._stopping.brace(PATIENCE)
            if unheard >= 3 and self._escalate:
                self._stopping.exit_at_once(signal.Signals(cause).name)

    def _more(self) -> int:
        """How many stops came meanwhile."""
        count = 0
        while True:
            try:
                count += self._inbox.alarms.get_nowait() in self._stops
            except queue.Empty:
                return count
