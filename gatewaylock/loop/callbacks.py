"""What applications want to be told: on a thread of its own, behind a queue that has an end."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from ..core.deadline import NEVER, Deadline
from ..core.events import KINDS, Event

LAST_WORD = 0.5  # seconds that callbacks get to come back before the image ends

log = logging.getLogger("gatewaylock.callbacks")

MOST = 1000  # events that wait for a callback to come back; more are lost, and counted


class Callbacks:
    """Foreign code, called one event after another.  What it does harms nobody but itself.

    One that raises is logged.  One that hangs holds up the others until it comes back: events beyond
    MOST are lost then, and never the loop's time.  The thread begins with the first event that
    somebody wants.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._callbacks: list[tuple[str, Callable[[Event], object]]] = []
        self._events: deque[Event] = deque()
        self._lost = 0
        self._calling = self._closed = False
        self._thread: threading.Thread | None = None

    def on(self, kind: str, callback: Callable[[Event], object]) -> Callable[[], None]:
        """Call *callback* with every event of *kind* from now on; what comes back ends that.

        ValueError for a *kind* that there is not.
        """
        if kind not in KINDS:
            raise ValueError(f"no event {kind!r}: there are {', '.join(KINDS)}")
        if not callable(callback):
            raise TypeError(f"callback has to be a function of an Event, not {callback!r}")
        entry = (kind, callback)
        with self._changed:
            self._callbacks.append(entry)

        def off() -> None:
            with self._changed:
                # By identity: the same callback may be there twice, and each ends its own.
                self._callbacks = [one for one in self._callbacks if one is not entry]

        return off

    def hear(self, event: Event) -> None:
        """A listener for News: never waits."""
        with self._changed:
            if self._closed or not any(kind == event.kind for kind, _ in self._callbacks):
                return
            if len(self._events) >= MOST:
                self._lost += 1
                return
            self._events.append(event)
            self._changed.notify_all()
            if self._thread is None:
                self._begin()

    def settle(self, deadline: Deadline) -> bool:
        """Wait until everybody has been told everything; False when *deadline* passes first."""
        with self._changed:
            over = self._changed.wait_for(lambda: not (self._events or self._calling), deadline.timeout())
        if not over:
            log.warning("a callback does not come back: %d event(s) will not be told", len(self._events))
        return over

    def close(self, deadline: Deadline) -> None:
        """The last events, until *deadline* at the latest; then nobody is told anything."""
        self.settle(deadline)
        with self._changed:
            self._closed = True
            self._events.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread and thread is not threading.current_thread():
            thread.join(deadline.left())

    def _begin(self) -> None:
        thread = threading.Thread(target=self._work, name="gatewaylock-callbacks", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("no thread for callbacks: %s; the next event tries again", error)
        else:
            self._thread = thread

    def _work(self) -> None:
        while (event := self._next()) is not None:
            for callback in self._wanted(event):
                try:
                    callback(event)
                except BaseException:  # SystemExit too: it ends the callback, not our thread
                    log.exception("a callback failed with %s", event.kind)
            self._done()

    def _wanted(self, event: Event) -> list[Callable[[Event], object]]:
        with self._changed:
            return [callback for kind, callback in self._callbacks if kind == event.kind]

    def _next(self) -> Event | None:
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._closed, NEVER.timeout())
            if self._closed:
                return None
            self._calling = True
            lost, self._lost = self._lost, 0
            event = self._events.popleft()
        if lost:
            log.warning("%d event(s) were lost: a callback did not come back in time", lost)
        return event

    def _done(self) -> None:
        with self._changed:
            self._calling = False
            self._changed.notify_all()
