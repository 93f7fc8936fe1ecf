"""The clients that watch: what happens, as it happens, and the status in between."""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..core.deadline import NEVER, Deadline
from ..core.events import Event
from ..core.plan import Phase, Status
from .protocol import encode

log = logging.getLogger("gatewaylock.control")

MOST = 128
BACKLOG = 1000  # events that nobody has passed on yet
SHARE = 0.02  # of our time that status lines may take; they come less often where that is not enough
CALM, BUSY = 1.0, 0.25  # seconds between two status lines: while nothing is under way, and on the way down


class Watchers:
    """One status and one encoding for all of them.  On our thread but for ``tell``.

    The kernel's buffer is all the room that a watcher has: one whose buffer is full has not read for
    minutes, or stands still, and is dropped.  So nobody here ever waits for anybody.
    """

    def __init__(self, status: Callable[[], Status], leave: Callable[[socket.socket], object]) -> None:
        self._status, self._leave = status, leave
        self._watching: dict[socket.socket, None] = {}
        self._events: deque[Event] = deque(maxlen=BACKLOG)
        self._next = NEVER

    def full(self) -> bool:
        """Whether nobody else may watch."""
        return len(self._watching) >= MOST

    def add(self, connection: socket.socket) -> None:
        """One more.  It is among us before it hears the status: nothing that happens after that is lost to it."""
        connection.setblocking(False)
        self._watching[connection] = None
        try:
            status = self._status()
        except BaseException:
            self._drop(connection)
            raise
        self._say_to(connection, encode({"ok": True, "text": "", "status": status.as_dict()}))
        if self._watching:
            self._next = min(self._next, Deadline.after(CALM))

    def tell(self, event: Event) -> bool:
        """From any thread: something happened; whether anybody wants to know."""
        if not self._watching:
            return False
        self._events.append(event)
        return True

    def next_deadline(self) -> Deadline:
        """When the next status is due."""
        return self._next

    def hear(self, connection: socket.socket) -> None:
        """It has left, or says something, which is not for it to do."""
        self._drop(connection)

    def work(self) -> None:
        """Pass on what has happened, and the status when that is due."""
        if not self._events and not self._next.passed():
            return
        while self._events:
            self._say(self._events.popleft().as_dict())
        if self._watching:
            began = time.monotonic()
            status = self._status()
            self._say({"event": "status", "status": status.as_dict()})
            calm = status.phase in (Phase.SERVING, Phase.QUIET, Phase.PARKED) and not status.proving
            took = time.monotonic() - began  # 50 ms with 100,000 lanes, and part of it holds them up
            self._next = Deadline.after(max(CALM if calm else BUSY, took / SHARE))

    def give_up(self) -> None:
        """There is nothing to be had from the status: nobody is to wait for more of it."""
        self._events.clear()
        for connection in self:
            self._drop(connection)

    def close(self) -> None:
        """The last events, then the end of it."""
        while self._events:
            self._say(self._events.popleft().as_dict())
        for connection in self._watching:
            connection.close()
        self._watching.clear()

    def _say(self, fields: Mapping[str, Any]) -> None:
        line = encode(dict(fields))
        for connection in self:
            self._say_to(connection, line)

    def _say_to(self, connection: socket.socket, line: bytes) -> None:
        try:
            whole = connection.send(line) == len(line)
        except BlockingIOError:
            whole = False
        except OSError:
            self._drop(connection)
            return
        if not whole:
            log.info("a watcher that does not read was dropped")
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        del self._watching[connection]
        if not self._watching:
            self._next = NEVER
        self._leave(connection)
        connection.close()

    def __contains__(self, connection: object) -> bool:
        return connection in self._watching

    def __iter__(self) -> Iterator[socket.socket]:
        return iter(list(self._watching))
