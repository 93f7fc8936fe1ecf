"""One connection: what it has said, what it is still owed, and when we give up on it.

READING ----> MAKING ----> WRITING ----> LEAVING ----> gone
   |                          ^
   |                          |  STREAMING: an answer without an end
   +--- refused at once ------+
"""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from http import HTTPStatus

from ..core.deadline import NEVER, Deadline
from .wire import END, HEAD, Asked, Refused, body_length, read_head

READ = 5.0  #: seconds for a client to say what it wants
CROWDED = 0.5  #: the same, and to see that it has it all, while nobody else can come in
HUSHED = (
    0.1  #: the same for who has said nothing at all, while we are about to leave; browsers connect in advance
)
MAKE = 10.0  #: seconds for us to make an answer
WRITE = 10.0  #: seconds for a client to take the answer
LEAVE = 1.0  #: seconds for a client to see that it has it all
BEHIND = 1 << 18  #: bytes that a stream may be behind before we hang up


class Turn(Enum):
    """Whose turn it is."""

    READING = "reading"
    MAKING = "making"
    WRITING = "writing"
    STREAMING = "streaming"
    LEAVING = "leaving"


class Client:
    """Touched by the server's thread alone."""

    def __init__(self, connection: socket.socket, peer: str) -> None:
        self.connection, self.peer = connection, peer
        self._turn(Turn.READING, READ)
        self.gone = False
        self.asked: Asked | None = None
        self.channel = ""  #: of a stream: what it wants to hear
        self._said, self._owed = bytearray(), bytearray()
        self._missing = -1  # bytes of the body; -1 before the head is complete

    def _turn(self, turn: Turn, limit: float) -> None:
        self.turn, self._since, self._limit = turn, time.monotonic(), limit

    @property
    def silent(self) -> bool:
        """Whether it has not said anything yet."""
        return self.turn is Turn.READING and self._missing < 0 and not self._said

    @property
    def busy(self) -> bool:
        """Whether it is owed an answer that will end."""
        return self.turn in (Turn.READING, Turn.MAKING, Turn.WRITING)

    def read(self) -> Asked | None:
        """Take what has come; the request, once it is complete.  Refused."""
        chunk = self._receive()
        if self.turn is not Turn.READING or chunk is None:
            return None  # nobody asked; the end of it is seen
        self._said += chunk
        if self._missing < 0:
            self._read_head()
        if self._missing < 0 or len(self._said) < self._missing or self.asked is None:
            return None
        self.asked = replace(self.asked, body=bytes(self._said[: self._missing]))
        return self.asked

    def make(self) -> None:
        """Its request is complete: it is our turn."""
        self._turn(Turn.MAKING, MAKE)

    def answer(self, data: bytes) -> None:
        """The last that it hears."""
        self._turn(Turn.WRITING, WRITE)
        self._owed += data
        self.write()

    def stream(self, channel: str, data: bytes) -> None:
        """The first of what it hears."""
        self._turn(Turn.STREAMING, WRITE)
        self.channel = channel
        self.more(data)

    def more(self, data: bytes) -> None:
        """Something new on its stream.  One that does not keep up has to come again."""
        if len(self._owed) > BEHIND:
            self.gone = True
        elif not self.gone:
            if not self._owed:
                self._since = time.monotonic()
            self._owed += data
            self.write()

    def write(self) -> None:
        """As much of what it is owed as it takes."""
        if self._owed:
            try:
                del self._owed[: self.connection.send(self._owed)]
            except BlockingIOError:
                return
            except OSError:
                self.gone = True
        if not self._owed and self.turn is Turn.WRITING:
            self.leave()

    def leave(self) -> None:
        """All is said: the end is shown to it, and what it still sends is read.

        A socket that is closed with unread data in it sends a reset, which can destroy the answer on its way.
        """
        self._turn(Turn.LEAVING, LEAVE)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def due(self, *, crowded: bool, hushed: bool) -> Deadline:
        """When we have waited for it long enough."""
        limit = self._limit
        if self.turn is Turn.STREAMING and not self._owed:
            return NEVER
        if crowded and self.turn in (Turn.READING, Turn.LEAVING):
            limit = min(limit, CROWDED)
        return Deadline(self._since + (HUSHED if hushed and self.silent else limit))

    def events(self) -> int:
        """What to wait for on its connection.  While we make its answer, nothing: it may have no more to say."""
        if self.turn is Turn.MAKING:
            return 0
        reads = 0 if self.turn is Turn.WRITING else selectors.EVENT_READ
        return reads | (selectors.EVENT_WRITE if self._owed else 0)

    def _receive(self) -> bytes | None:
        try:
            chunk = self.connection.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            chunk = b""
        self.gone = self.gone or not chunk
        return chunk or None

    def _read_head(self) -> None:
        at = self._said.find(END)
        if at > HEAD or (at < 0 and len(self._said) > HEAD):
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"at most {HEAD} bytes")
        if at >= 0:
            self.asked = read_head(bytes(self._said[:at]), self.peer)
            self._missing = body_length(self.asked)
            del self._said[: at + len(END)]
