"""The side of the gateway: one thread that reads; the loop answers."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from ..core.deadline import NEVER, Deadline
from ..core.events import Event
from ..core.plan import Action, Outcome, Request, Status, Verdict
from .crowd import PATIENCE, Client, Crowd, Known
from .protocol import Asked, ProtocolError, read_request
from .waiting import Waiting
from .watchers import Watchers
from .wire import say

log = logging.getLogger("gatewaylock.control")

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

    *patience*: seconds that a client may take to say what it wants.  *known* tells the command of a client.
    *come_by* has the loop call what it is given, as soon as it is free to.
    """

    def __init__(
        self,
        listener: socket.socket,
        desk: Desk,
        *,
        patience: float = PATIENCE,
        known: Known = lambda pid: str,
        come_by: Callable[[Callable[[], object]], object] = lambda seen: seen(),
    ) -> None:
        self._listener, self._desk, self._known, self._come_by = listener, desk, known, come_by
        self._crowd, self._waiting = Crowd(patience), Waiting()
        self._watchers = Watchers(desk.status, self._unregister)
        self._wake, self._woken = socket.socketpair()
        try:
            self._selector = selectors.DefaultSelector()
        except BaseException:
            self._wake.close()
            self._woken.close()
            raise
        self._accepting = self._shut = False
        self._pause: Deadline | None = None
        self._closing = False
        self._rest = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="gatewaylock-control", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._listener.setblocking(False)
        self._wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; who still waits sees the connection end."""
        self._closing = True
        self._rest.set()
        self._look()
        if self._thread.ident is not None:
            self._thread.join(JOIN)
        self._watchers.close()
        self._waiting.close()
        for client in self._crowd:
            client.connection.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def shut(self, shut: bool) -> None:
        """Leave newcomers on the listener to another process, or (False) take them again."""
        self._shut = shut
        self._look()

    def forget(self) -> None:
        """In a forked child: a copy there would keep a client waiting for the end of nobody."""
        for connection in [*(client.connection for client in self._crowd), *self._waiting, *self._watchers]:
            connection.close()

    def held(self) -> list[int]:
        """Descriptors of the connections whose clients wait for the outcome, for a hand-over."""
        return self._waiting.held()

    def adopt(self, descriptors: Iterable[int]) -> None:
        """Connections that the last image left waiting."""
        self._waiting.adopt(descriptors)

    def announce(self, outcome: Outcome) -> None:
        """The last line for everybody who waits."""
        self._waiting.announce(outcome)

    def tell(self, event: Event) -> None:
        """Something happened: for those who watch.  Costs the caller a few microseconds and never waits."""
        if self._watchers.tell(event):
            self._look()

    def _look(self) -> None:
        with suppress(OSError):  # full: it will look anyway; closed: nobody watches any more
            self._wake.send(b"x")

    # -- the thread --------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._closing:
            try:
                self._turn()
            except Exception:  # out of memory, or a fault of ours: the next stop has to be heard
                log.exception("the control socket goes on after %g s", PAUSE)
                self._rest.wait(PAUSE)

    def _turn(self) -> None:
        self._open_or_shut()
        until = min(self._crowd.next_deadline(), self._pause or NEVER, self._watchers.next_deadline())
        for key, _ in self._selector.select(until.timeout()):
            self._ready(key)
        for client in self._crowd.overdue():
            self._refuse(client, "nothing was asked in time", "late")
        self._pass_on()

    def _ready(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._woken:
            self._woken.recv(4096)
        elif key.fileobj is self._listener and not self._shut:
            self._accept()
        elif key.data in self._crowd:
            self._hear(key.data)
        elif key.fileobj in self._watchers:
            self._watchers.hear(key.data)

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
        try:
            connection.settimeout(SEND)
            client = Client(connection, self._known)
            self._selector.register(connection, selectors.EVENT_READ, client)
        except OSError as error:
            log.warning("a control connection is closed: %s", error)
            connection.close()
            return
        self._crowd.add(client)
        if client.uid not in (os.geteuid(), 0):
            log.warning("control connection of %s refused", client.who)
            self._refuse(client, "only the owner of this gateway and root may ask", "forbidden")

    def _hear(self, client: Client) -> None:
        """One client; whatever is wrong with it, the next one is served (G7)."""
        try:
            line = client.read()
            if line is not None:
                self._asked(client, line)
            elif client.gone:
                self._forget(client).close()
        except ProtocolError as error:
            self._refuse(client, str(error), error.error)
        except Exception:
            log.exception("a control request failed")
            if client in self._crowd:
                self._refuse(client, "this request failed; the gateway's log says why", "failed")

    def _asked(self, client: Client, line: bytes) -> None:
        asked = read_request(line, client.who, client.peer)
        if asked.request is None:
            self._ping(client) if asked.verb == "ping" else self._show(client, watches=asked.verb == "watch")
            return
        self._waiting.enter(client.connection, at_any_rate=asked.request.action is Action.STOP)
        connection = self._forget(client)
        self._desk.post(asked.request, lambda verdict: self._decided(connection, asked, verdict))

    def _ping(self, client: Client) -> None:
        """That this thread answers proves nothing of the loop's."""
        self._waiting.enter(client.connection, at_any_rate=False)
        connection, said = self._forget(client), {"ok": True, "text": "the main loop moves"}
        self._come_by(lambda: self._waiting.decide(connection, said, waits=False))

    def _show(self, client: Client, *, watches: bool) -> None:
        if watches and self._watchers.full():
            raise ProtocolError("too many are watching", "busy")
        if not watches:
            self._answer(client, {"ok": True, "text": "", "status": self._desk.status().as_dict()})
            return
        connection = self._forget(client)
        self._selector.register(connection, selectors.EVENT_READ, connection)
        self._watchers.add(connection)

    def _pass_on(self) -> None:
        try:
            self._watchers.work()
        except Exception:
            log.exception("nothing more can be told to those who watch")
            self._watchers.give_up()

    def _decided(self, connection: socket.socket, asked: Asked, verdict: Verdict) -> None:
        """On the loop's thread."""
        said: dict[str, Any] = {"ok": verdict.ok, "text": verdict.text}
        if not verdict.ok:
            said["error"] = verdict.error or "phase"
        ends = asked.request is not None and asked.request.action in (Action.STOP, Action.RESTART)
        self._waiting.decide(connection, said, waits=verdict.ok and asked.wait and ends)

    def _refuse(self, client: Client, why: str, error: str) -> None:
        self._answer(client, {"ok": False, "text": why, "error": error})

    def _answer(self, client: Client, fields: Mapping[str, Any]) -> None:
        """The only and last line for *client*."""
        connection = self._forget(client)
        say(connection, fields)
        connection.close()

    def _forget(self, client: Client) -> socket.socket:
        self._unregister(client.connection)
        self._crowd.remove(client)
        return client.connection

    def _unregister(self, connection: socket.socket) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(connection)
