"""The side of the gateway: one thread that reads; the loop answers."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ..core.deadline import NEVER, Deadline
from ..core.plan import Outcome, Request, Status, Verdict
from .protocol import LINE, Asked, ProtocolError, encode, read_request

log = logging.getLogger("gatewaylock.control")

CLIENTS = 32  # connections that are being read or decided about
PATIENCE = 5.0  # seconds for a client to say what it wants
PAUSE = 0.5  # seconds without accept() when there are no descriptors left
SEND = 1.0  # seconds for a client to take an answer


class Desk(Protocol):
    """Who answers: the gateway."""

    def status(self) -> Status:
        """What it is doing."""
        ...

    def post(self, request: Request, answer: Callable[[Verdict], object]) -> None:
        """Pass *request* on; *answer* is called once, on whatever thread decides."""
        ...


class _Client:
    """A connection whose request line is not complete yet."""

    def __init__(self, connection: socket.socket, who: str) -> None:
        self.connection, self.who = connection, who
        self.said = bytearray()
        self.until = Deadline.after(PATIENCE)


class ControlServer:
    """Answers on *listener*, which is not ours to close: it outlives the life and the image."""

    def __init__(self, listener: socket.socket, desk: Desk) -> None:
        self._listener, self._desk = listener, desk
        self._clients: dict[int, _Client] = {}
        self._waiting: list[socket.socket] = []
        self._undecided: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._pause: Deadline | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="gatewaylock-control", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; who still waits sees the connection end."""
        self._closing = True
        self._wake.send(b"x")
        self._thread.join(PATIENCE)
        with self._lock:
            left = [client.connection for client in self._clients.values()]
            left += [*self._waiting, *self._undecided]
            self._waiting, self._undecided = [], set()
        self._clients.clear()
        for connection in left:
            connection.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def held(self) -> list[int]:
        """Descriptors of the connections whose clients wait for the outcome, for a hand-over."""
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
            _say(connection, outcome.as_dict())
            connection.close()

    # -- the thread --------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._closing:
            until = min([client.until for client in self._clients.values()] + [self._pause or NEVER])
            for key, _ in self._selector.select(until.timeout()):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fd in self._clients:
                    self._read(self._clients[key.fd])
            self._look_at_the_clock()

    def _look_at_the_clock(self) -> None:
        for client in [client for client in self._clients.values() if client.until.passed()]:
            self._refuse(client, f"nothing was asked within {PATIENCE:g} s")
        if self._pause and self._pause.passed():
            self._pause = None
            self._selector.register(self._listener, selectors.EVENT_READ)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            log.warning("no control connections for %g s: %s", PAUSE, error)
            self._pause = Deadline.after(PAUSE)
            self._selector.unregister(self._listener)
            return
        connection.settimeout(SEND)
        uid, who = _peer(connection)
        client = _Client(connection, who)
        self._clients[connection.fileno()] = client
        self._selector.register(connection, selectors.EVENT_READ)
        if uid not in (os.geteuid(), 0):
            log.warning("control connection of %s refused", who)
            self._refuse(client, "only the owner of this gateway and root may ask")
        elif len(self._clients) + len(self._undecided) > CLIENTS:
            self._refuse(client, "too many clients at once; try again")

    def _read(self, client: _Client) -> None:
        try:
            chunk = client.connection.recv(LINE)
        except OSError:
            chunk = b""
        client.said += chunk
        line, newline, _ = bytes(client.said).partition(b"\n")
        if newline:
            self._asked(client, line)
        elif len(client.said) >= LINE:
            self._refuse(client, f"a line has at most {LINE} bytes")
        elif not chunk:
            self._forget(client).close()

    def _asked(self, client: _Client, line: bytes) -> None:
        try:
            asked = read_request(line, client.who)
        except ProtocolError as error:
            self._refuse(client, str(error))
            return
        connection = self._forget(client)
        if asked.request is None:
            _say(connection, {"ok": True, "text": "", "status": self._desk.status().as_dict()})
            connection.close()
            return
        with self._lock:
            self._undecided.add(connection)
        self._desk.post(asked.request, lambda verdict: self._decided(connection, asked, verdict))

    def _decided(self, connection: socket.socket, asked: Asked, verdict: Verdict) -> None:
        """On the thread of the loop, before it does anything else: so no outcome comes too early to be heard."""
        heard = _say(connection, {"ok": verdict.ok, "text": verdict.text})
        with self._lock:
            self._undecided.discard(connection)
            if heard and verdict.ok and asked.wait:
                self._waiting.append(connection)
                return
        connection.close()

    def _refuse(self, client: _Client, why: str) -> None:
        connection = self._forget(client)
        _say(connection, {"ok": False, "text": why})
        connection.close()

    def _forget(self, client: _Client) -> socket.socket:
        self._selector.unregister(client.connection)
        del self._clients[client.connection.fileno()]
        return client.connection


def _say(connection: socket.socket, fields: Mapping[str, Any]) -> bool:
    try:
        connection.sendall(encode(dict(fields)))
    except OSError:
        return False
    return True


def _peer(connection: socket.socket) -> tuple[int, str]:
    """(uid, who it is for the log) of the other side.

    Where the kernel does not tell (not Linux), the modes 0600 of the socket and 0700 of its directory
    have to do: whoever came this far passed them.
    """
    if not sys.platform.startswith("linux"):
        return os.geteuid(), "local"
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    return uid, f"pid {pid}, uid {uid}"
