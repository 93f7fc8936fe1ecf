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
from contextlib import suppress
from typing import Any, Protocol

from ..core.deadline import NEVER, Deadline
from ..core.plan import Action, Outcome, Request, Status, Verdict
from .crowd import PATIENCE, Client, Crowd
from .protocol import Asked, ProtocolError, encode, read_request

log = logging.getLogger("gatewaylock.control")

UNDECIDED = 32  # restarts that wait for the loop's word; a stop is heard beside any number of them
WAITING = 256  # clients that wait for the outcome
PAUSE = 0.5  # seconds without accept() when there are no descriptors left
SEND = 1.0  # seconds for a client to take an answer
JOIN = 5.0  # seconds for our thread to end


class Desk(Protocol):
    """Who answers: the gateway."""

    def status(self) -> Status:
        """What it is doing."""
        ...

    def post(self, request: Request, answer: Callable[[Verdict], object]) -> None:
        """Pass *request* on; *answer* is called once, on whatever thread decides."""
        ...


class ControlServer:
    """Answers on *listener*, which is not ours to close: it outlives the life and the image.

    *patience*: seconds that a client may take to say what it wants.
    """

    def __init__(self, listener: socket.socket, desk: Desk, *, patience: float = PATIENCE) -> None:
        self._listener, self._desk = listener, desk
        self._crowd = Crowd(patience)
        self._waiting: list[socket.socket] = []
        self._undecided: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._accepting = self._shut = False
        self._pause: Deadline | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="gatewaylock-control", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._listener.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; who still waits sees the connection end."""
        self._closing = True
        self._wake.send(b"x")
        self._thread.join(JOIN)
        with self._lock:
            left = [client.connection for client in self._crowd]
            left += [*self._waiting, *self._undecided]
            self._waiting, self._undecided = [], set()
        for connection in left:
            connection.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def shut(self, shut: bool) -> None:
        """Leave newcomers on the listener to another process, or (False) take them again."""
        self._shut = shut
        self._wake.send(b"x")

    def forget(self) -> None:
        """In a forked child: a copy there would keep a client waiting for the end of nobody."""
        for connection in [*(client.connection for client in self._crowd), *self._waiting, *self._undecided]:
            connection.close()

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
            self._open_or_shut()
            until = min(self._crowd.next_deadline(), self._pause or NEVER)
            for key, _ in self._selector.select(until.timeout()):
                if key.fileobj is self._woken:
                    self._woken.recv(64)
                elif key.fileobj is self._listener and not self._shut:
                    self._accept()
                elif key.data in self._crowd:
                    self._hear(key.data)
            for client in self._crowd.overdue():
                self._refuse(client, "nothing was asked in time")

    def _open_or_shut(self) -> None:
        """Accept only where there is room: who waits outside, in the kernel's queue, waits for a moment."""
        if self._pause and self._pause.passed():
            self._pause = None
        wanted = self._pause is None and not self._crowd.full() and not self._shut
        if wanted and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listener)
        self._accepting = wanted

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            log.warning("no control connections for %g s: %s", PAUSE, error)
            self._pause = Deadline.after(PAUSE)
            return
        connection.settimeout(SEND)
        uid, who = _peer(connection)
        client = Client(connection, who)
        self._crowd.add(client)
        self._selector.register(connection, selectors.EVENT_READ, client)
        if uid not in (os.geteuid(), 0):
            log.warning("control connection of %s refused", who)
            self._refuse(client, "only the owner of this gateway and root may ask")

    def _hear(self, client: Client) -> None:
        """One client; whatever is wrong with it, the next one is served (G7)."""
        try:
            line = client.read()
            if line is not None:
                self._asked(client, line)
            elif client.gone:
                self._forget(client).close()
        except ProtocolError as error:
            self._refuse(client, str(error))
        except Exception:
            log.exception("a control request failed")
            if client in self._crowd:
                self._refuse(client, "this request failed; the gateway's log says why")

    def _asked(self, client: Client, line: bytes) -> None:
        asked = read_request(line, client.who)
        if asked.request is None:
            self._answer(client, {"ok": True, "text": "", "status": self._desk.status().as_dict()})
            return
        restart = asked.request.action is Action.RESTART
        with self._lock:
            if restart and len(self._undecided) >= UNDECIDED:
                raise ProtocolError("too many restarts are being asked for; try again")
            connection = self._forget(client)
            self._undecided.add(connection)
        self._desk.post(asked.request, lambda verdict: self._decided(connection, asked, verdict))

    def _decided(self, connection: socket.socket, asked: Asked, verdict: Verdict) -> None:
        """On the loop's thread.  Two short lines always fit into the connection's buffer: nothing blocks."""
        with self._lock:  # around both: an outcome comes neither before the verdict nor too early to be heard
            heard = _say(connection, {"ok": verdict.ok, "text": verdict.text})
            known = connection in self._undecided  # not after close()
            self._undecided.discard(connection)
            if known and heard and verdict.ok and asked.wait and len(self._waiting) < WAITING:
                self._waiting.append(connection)
                return
        connection.close()

    def _refuse(self, client: Client, why: str) -> None:
        self._answer(client, {"ok": False, "text": why})

    def _answer(self, client: Client, fields: Mapping[str, Any]) -> None:
        """The only and last line for *client*."""
        connection = self._forget(client)
        _say(connection, fields)
        connection.close()

    def _forget(self, client: Client) -> socket.socket:
        with suppress(KeyError, ValueError):
            self._selector.unregister(client.connection)
        self._crowd.remove(client)
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
