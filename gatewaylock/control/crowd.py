"""The clients that have not said yet what they want: how many, how much, and for how long."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

from ..core.deadline import NEVER, Deadline
from ..core.facts import Peer
from .protocol import LINE, ProtocolError
from .wire import credentials

CLIENTS = 32
PATIENCE = 5.0  # seconds for a client to say what it wants
CROWDED = 0.5  # the same while nobody else can come in

#: what gives the command line of a process for as long as it is the one that has the pid now
Known = Callable[[int], Callable[[], str]]


class Client:
    """A connection whose request line is not complete yet."""

    def __init__(self, connection: socket.socket, known: Known) -> None:
        self.connection = connection
        self.pid, self.uid = credentials(connection)
        self.since = time.monotonic()
        #: it ended the connection
        self.gone = False
        self._said = bytearray()
        self._command = known(self.pid) if self.pid > 0 else str

    @property
    def who(self) -> str:
        """For the log."""
        return f"pid {self.pid}, uid {self.uid}" if self.pid > 0 else "local"

    def peer(self) -> Peer | None:
        """The process at the other side; None where the kernel does not tell."""
        return Peer(self.pid, self.uid, self._command()) if self.pid > 0 else None

    def read(self) -> bytes | None:
        """What has come, when it makes a line.  ProtocolError for one that is too long."""
        try:
            chunk = self.connection.recv(LINE)
        except OSError:
            chunk = b""
        self.gone = not chunk
        at = chunk.find(b"\n")
        self._said += chunk if at < 0 else chunk[:at]
        if len(self._said) >= LINE:
            raise ProtocolError(f"a line has at most {LINE} bytes")
        return None if at < 0 else bytes(self._said)


class Crowd:
    """At most CLIENTS of them, the longest silent first.

    Silence is cheap to produce: as long as there is room it may last *patience* seconds, then only
    CROWDED, so that no number of silent clients keeps a stop outside.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._clients: dict[Client, None] = {}

    def add(self, client: Client) -> None:
        """A newcomer."""
        self._clients[client] = None

    def remove(self, client: Client) -> None:
        """It has spoken, or has to go."""
        del self._clients[client]

    def full(self) -> bool:
        """Whether nobody else may come in."""
        return len(self._clients) >= CLIENTS

    def next_deadline(self) -> Deadline:
        """When the one who has been silent for the longest has to go."""
        for client in self._clients:
            return Deadline(client.since + (CROWDED if self.full() else self._patience))
        return NEVER

    def overdue(self) -> Iterator[Client]:
        """Those who have to go now, one by one; to be removed before the next is asked for."""
        while self.next_deadline().passed():
            yield next(iter(self._clients))

    def __contains__(self, client: object) -> bool:
        return client in self._clients

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients)
