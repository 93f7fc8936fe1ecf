"""The clients whose request is under way: undecided ones, and those who wait for the outcome."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..core.plan import Outcome
from .protocol import ProtocolError
from .wire import say

log = logging.getLogger("gatewaylock.control")

UNDECIDED = 32  # requests that wait for the loop's word; a stop is heard beside any number of them
WAITING = 256  # clients that wait for the outcome
#: said to one more of them, who would else take the end of the connection for that of the gateway
FULL = {"text": "it is under way; too many wait for the end of it already: see gateway status", "done": None}


class Waiting:
    """Used by our thread and by the loop's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[socket.socket] = []
        self._undecided: set[socket.socket] = set()

    def enter(self, connection: socket.socket, *, at_any_rate: bool) -> None:
        """*connection* has asked.  ProtocolError when too many have, unless *at_any_rate*."""
        with self._lock:
            if len(self._undecided) >= UNDECIDED and not at_any_rate:
                raise ProtocolError("too many requests wait for an answer; try again", "busy")
            self._undecided.add(connection)

    def decide(self, connection: socket.socket, verdict: Mapping[str, Any], *, waits: bool) -> None:
        """Tell it the *verdict*; keep it when it *waits* for the outcome, else close it.

        On the loop's thread.  Two short lines always fit into the connection's buffer: nothing blocks.
        """
        with self._lock:  # around both: an outcome comes neither before the verdict nor too early to be heard
            heard = say(connection, verdict)
            known = connection in self._undecided  # not after close()
            self._undecided.discard(connection)
            if known and heard and waits:
                if len(self._waiting) < WAITING:
                    self._waiting.append(connection)
                    return
                say(connection, FULL)
        connection.close()

    def held(self) -> list[int]:
        """Descriptors of those who wait for the outcome, for a hand-over."""
        with self._lock:
            return [connection.fileno() for connection in self._waiting]

    def adopt(self, descriptors: Iterable[int]) -> None:
        """Connections that the last image left waiting."""
        for fd in descriptors:
            try:
                connection = socket.socket(fileno=fd)
                connection.set_inheritable(False)
            except OSError as error:
                log.warning("a waiting client did not come through the restart: %s", error)
                continue
            with self._lock:
                self._waiting.append(connection)

    def announce(self, outcome: Outcome) -> None:
        """The last line for everybody who waits.  A client that does not read loses it, we no time."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.setblocking(False)
            say(connection, outcome.as_dict())
            connection.close()

    def close(self) -> None:
        """Who still waits sees the connection end."""
        with self._lock:
            left = list(self)
            self._waiting, self._undecided = [], set()
        for connection in left:
            connection.close()

    def __iter__(self) -> Iterator[socket.socket]:
        return iter([*self._waiting, *self._undecided])
