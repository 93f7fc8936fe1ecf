"""The thread that owns the admin address: it reads, it writes, it never waits for anybody.

    loop, any thread --tell()--> |                |  --jobs-->   maker's thread: pages, status, metrics
                                 |  this thread   |  <--done--
    clients  <--- sockets --->   |                |

Why a server of our own and not the one of the application, nor ``http.server``: the application's is closed
in each restart, is full when its threads are, and is not installed with the core; ``http.server`` has a thread
for each client that keeps a connection open, for as long as it likes.  Here are two threads, whatever comes:
at most CLIENTS connections and STREAMS streams, each with a deadline, each request with a size.  What says
whether we live is answered on this thread and takes no lock; a page that hangs in a lock or on a disk holds
the maker's thread and nobody else.
"""

from __future__ import annotations

import logging
import queue
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from ..core.deadline import NEVER, Deadline
from ..system.host import close_after_fork
from .client import Client, Turn
from .wire import STREAM, Answer, Asked, Refused, say

log = logging.getLogger("gatewaylock.admin")

CLIENTS = 64  #: connections that are read, answered or closed, at most
STREAMS = 32  #: connections that hear what happens, at most
JOBS = 16  #: answers being made, at most
PAUSE = 0.5  #: seconds without accept() when there are no descriptors left
PING = 15.0  #: seconds after which a silent stream says that it is there
JOIN = 1.0  #: seconds for our thread to end
LAST = 0.25  #: seconds for who has asked to get the answer, in the end

Job = Callable[[], Any]
Handler = Callable[[Asked, Callable[[Answer], None]], "Answer | Job | str"]


class Server:
    """Answers on a copy of *listener*.

    ``answer(asked, reply)`` gives back an Answer at once; or a function for the maker's thread, which calls
    *reply* then or has it called later; or the name of a channel, which makes the connection a stream.
    ``work`` is where the maker's thread takes its jobs from.
    """

    def __init__(self, listener: socket.socket, answer: Handler, hire: Callable[[Job], None]) -> None:
        self._listener = listener.dup()
        self._listener.setblocking(False)
        self._answer, self._hire = answer, hire
        self._clients: set[Client] = set()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._told: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._accepting = self._shut = self._closing = False
        self._pause = NEVER
        self._ping = NEVER
        self._quiet = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="gatewaylock-admin", daemon=True)
        close_after_fork(self.forget)

    # -- from any thread ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to answer.  RuntimeError where no thread can be had."""
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread.start()

    def shut(self, shut: bool) -> None:
        """Accept nobody and end the streams; or (False) accept again.  What has been asked is answered."""
        self._quiet.clear()
        self._shut = shut
        self.do(lambda: None)

    def wait_quiet(self, deadline: Deadline) -> bool:
        """After ``shut(True)``: whether everybody had an answer before *deadline*."""
        return self._quiet.wait(deadline.timeout())

    def publish(self, channel: str, data: bytes) -> None:
        """*data* for everybody who hears *channel*.  Never blocks."""
        self.do(lambda: self._send(channel, data))

    def do(self, call: Callable[[], None]) -> None:
        """Have *call* called on our thread.  Never blocks."""
        self._told.put(call)
        with suppress(OSError):  # full: then there is something to read anyway; closed: nobody is there
            self._wake.send(b"x")

    def listens(self, channel: str) -> bool:
        """Whether anybody hears *channel*.  Takes no lock."""
        return any(client.channel == channel for client in tuple(self._clients))

    def close(self) -> None:
        """The end: who has asked is answered, if that is soon; all else is closed."""
        self.shut(True)
        self.wait_quiet(Deadline.after(LAST))
        self._closing = True
        self.do(lambda: None)
        self._thread.join(JOIN)
        self.forget()

    def forget(self) -> None:
        """Close all that we hold; in a forked child a copy would keep clients waiting for nobody."""
        for one in [*self._clients]:
            one.connection.close()
        for end in (self._listener, self._wake, self._woken):
            end.close()

    # -- the thread --------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._closing:
            try:
                self._turn()
            except Exception:
                log.exception("the admin server failed; it goes on")
                threading.Event().wait(PAUSE)
        self._selector.close()

    def _turn(self) -> None:
        self._open_or_shut()
        for key, events in self._selector.select(self._patience()):
            if key.fileobj is self._woken:
                self._hear()
            elif key.fileobj is self._listener:
                self._accept()
            else:
                self._serve_one(key.data, events)
        for client in [client for client, due in self._dues() if due.passed()]:
            self._late(client)

    def _patience(self) -> float | None:
        """Seconds until somebody has waited, or was waited for, long enough."""
        return min([self._pause, self._ping, *(due for _, due in self._dues())]).timeout()

    def _dues(self) -> list[tuple[Client, Deadline]]:
        """When each client has to be done with what it does."""
        crowded = self._crowded()
        return [(one, one.due(crowded=crowded, hushed=self._shut)) for one in self._clients]

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(4096)
        with suppress(queue.Empty):
            while True:
                self._told.get_nowait()()

    def _open_or_shut(self) -> None:
        """Accept only where there is room: who waits outside, in the kernel's queue, waits for a moment."""
        if self._pause.passed():
            self._pause = NEVER
        if self._ping.passed():
            self._ping = NEVER
            self._send("", b": here\n\n")
        wanted = not self._shut and self._pause is NEVER and not self._crowded()
        if wanted and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listener)
        self._accepting = wanted
        if self._shut:
            for client in self._of(Turn.STREAMING):
                client.leave()
                self._settle(client)
            if not any(client.busy for client in self._clients):
                self._quiet.set()

    def _crowded(self) -> bool:
        return len(self._clients) - len(self._of(Turn.STREAMING)) >= CLIENTS

    def _of(self, turn: Turn) -> list[Client]:
        return [client for client in self._clients if client.turn is turn]

    def _accept(self) -> None:
        try:
            connection, address = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            log.warning("no admin connections for %g s: %s", PAUSE, error)
            self._pause = Deadline.after(PAUSE)
            return
        connection.setblocking(False)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Client(connection, str(address[0]) if isinstance(address, tuple) else "")
        self._clients.add(client)
        self._selector.register(connection, selectors.EVENT_READ, client)
        self._serve_one(client, selectors.EVENT_READ)  # most have said it all already

    def _serve_one(self, client: Client, events: int) -> None:
        """One client; whatever is wrong with it, the next one is served."""
        try:
            if events & selectors.EVENT_WRITE:
                client.write()
            if events & selectors.EVENT_READ and (asked := client.read()):
                self._asked(client, asked)
        except Refused as refused:
            client.answer(refused.answer.encode())
        except Exception:
            log.exception("an admin request failed")
            client.gone = True
        self._settle(client)

    def _asked(self, client: Client, asked: Asked) -> None:
        found = self._answer(asked, lambda answer: self.do(lambda: self._made(client, answer)))
        if isinstance(found, Answer):
            client.answer(found.encode(body=asked.method != "HEAD"))
        elif isinstance(found, str):
            if len(self._of(Turn.STREAMING)) >= STREAMS:
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many listen", ("Retry-After", "5"))
            client.stream(found, STREAM)
        elif len(self._of(Turn.MAKING)) >= JOBS:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too much is asked at once", ("Retry-After", "1"))
        else:
            client.make()
            self._hire(found)

    def _made(self, client: Client, answer: Answer) -> None:
        if client in self._clients and client.turn is Turn.MAKING and client.asked:
            client.answer(answer.encode(body=client.asked.method != "HEAD"))
            self._settle(client)

    def _send(self, channel: str, data: bytes) -> None:
        """On the streams of *channel*; on all of them without one."""
        for client in self._of(Turn.STREAMING):
            if channel in ("", client.channel):
                client.more(data)
                self._settle(client)
        self._ping = Deadline.after(PING) if self._of(Turn.STREAMING) else NEVER

    def _late(self, client: Client) -> None:
        if client.turn is Turn.MAKING:
            client.answer(
                say(HTTPStatus.SERVICE_UNAVAILABLE, "no answer in time; /healthz says more").encode()
            )
        elif client.turn is Turn.READING and not (self._shut and client.silent):
            client.answer(say(HTTPStatus.REQUEST_TIMEOUT, "nothing was asked in time").encode())
        else:
            client.gone = True
        self._settle(client)

    def _settle(self, client: Client) -> None:
        """Wait for what it waits for; forget it when it is gone."""
        known = self._selector.get_map().get(client.connection)
        events = 0 if client.gone else client.events()
        if known and not events:
            self._selector.unregister(client.connection)
        elif known and known.events != events:
            self._selector.modify(client.connection, events, client)
        elif events and not known:
            self._selector.register(client.connection, events, client)
        if client.gone:
            self._clients.discard(client)
            client.connection.close()
