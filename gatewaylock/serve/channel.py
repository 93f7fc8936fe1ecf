"""One connection: when it is quiet, how its answers say that it ends, and how it ends."""

from __future__ import annotations

import socket
from contextlib import suppress
from enum import Enum

from ..core.deadline import Deadline
from ..core.errors import GatewayDrainingError, WorkLostError
from .counts import Counts
from .library import Adjustments, Dispatcher, ErrorTask, HTTPChannel, Map, WSGITask
from .words import log

STALL = 5.0  #: seconds without a byte from or to a client that we wait for while we are leaving
FAREWELL = 0.5  #: seconds for a client to read its last answer before it has to see that we are gone
SORRY = b"The gateway is restarting. Try again in a moment.\n"
CUT = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nRetry-After: 1\r\n\r\n%b" % (len(SORRY), SORRY)
)


class Waits(Enum):
    """Whose turn it is on a connection."""

    NOBODY = "nobody"  # nothing is asked: it is quiet
    WORKER = "worker"  # to answer
    CLIENT = "client"  # to finish the request, or to take the answer


class Options(Adjustments):
    """The library's options, and what all connections of one server have in common."""

    leaving = False  #: the server is closing: the next answer on each connection is its last
    paused = False  #: another process accepts; who has a connection here is asked to come there
    cutting = False  #: time is over: no more politeness
    cut = 0  #: requests whose connection was closed before they were answered; the poller counts

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.farewells: set[Farewell] = set()
        self.counts = Counts()


class Answer(WSGITask):
    """The application's answer; the last one on a connection that is ending says so."""

    logger = log
    channel: Channel

    def execute(self) -> None:
        """Call the application.  Work refused or lost because of a restart is a 503, not a 500."""
        try:
            super().execute()
        except (GatewayDrainingError, WorkLostError) as error:
            if self.wrote_header:
                raise
            log.info("answered 503: %s", error)
            self._say_sorry()
        except Exception:
            raise
        except BaseException as error:  # sys.exit() in a view ends its request, not our worker
            raise RuntimeError(f"the application raised {type(error).__name__}") from error

    def build_response_header(self) -> bytes:
        """The header, with ``Connection: close`` where this answer is the last one.

        Decided here, at the last moment: the request may have been read long before the server
        was told to close.
        """
        if self.channel.ends_after_this():
            self.request.headers["CONNECTION"] = "close"
        self.channel.answering = True
        self.channel.adj.counts.add(self.status)
        return super().build_response_header()

    def _say_sorry(self) -> None:
        self.status = "503 Service Unavailable"
        self.response_headers = [("Content-Type", "text/plain; charset=utf-8"), ("Retry-After", "1")]
        self.content_length = len(SORRY)
        self.complete = True
        self.write(SORRY)


class Refusal(ErrorTask):
    """The library's own 4xx and 500; it always closes the connection."""

    logger = log
    channel: Channel

    def build_response_header(self) -> bytes:
        """The header; the answer is counted."""
        self.channel.adj.counts.add(self.status)
        return super().build_response_header()


class Channel(HTTPChannel):
    """A connection that knows whether somebody waits for something on it."""

    logger = log
    task_class = Answer
    error_task_class = Refusal
    adj: Options
    answering = False  #: the client has got, or is about to get, the beginning of an answer
    seen: tuple[Waits, int] | None = None  #: the last ``turn()`` that differed from the one before ...
    since = 0.0  #: ... and when: time.monotonic(), kept by the poller while the server is leaving

    def turn(self) -> tuple[Waits, int]:
        """Whose turn it is, and a number that changes when they do something."""
        with self.requests_lock:
            if self.total_outbufs_len or self.close_when_flushed or self.will_close:
                return Waits.CLIENT, -self.total_outbufs_len
            if self.requests:
                return Waits.WORKER, 0
            if self.request is not None and self._partly_read():
                read = self.request.header_bytes_received + self.request.body_bytes_received
                return Waits.CLIENT, read
            return Waits.NOBODY, 0

    def busy(self) -> bool:
        """A request is read, partly read, or its answer is not yet with the client."""
        return self.turn()[0] is not Waits.NOBODY

    def service(self) -> None:
        """Answer the next request (on a worker)."""
        self.answering = False
        super().service()

    def ends_after_this(self) -> bool:
        """Whether the answer being made is the last: we are leaving and no other request is here."""
        if not (self.adj.leaving or self.adj.paused):
            return False
        return len(self.requests) <= 1 and not self._partly_read() and not self._arrived()

    def retire(self, now: float) -> None:
        """End a quiet connection, unless a request has just arrived."""
        if self._arrived():
            self.since = now
        else:
            self.handle_close()

    def give_up(self) -> None:
        """End a connection on which an answer is owed; with a 503 where none has begun."""
        with self.outbuf_lock:  # or a worker could begin one between our words and the end
            self.adj.cut += 1
            begun = self.total_outbufs_len or (self.requests and self.answering)
            with suppress(OSError):
                if self.socket is not None and not begun:
                    self.socket.send(CUT, socket.MSG_DONTWAIT)
                    self.adj.counts.add("503")
            self.handle_close()

    def handle_close(self) -> None:
        """Close the connection so that the client can read all we said.

        A socket that is closed with unread data in it sends a reset, and a reset can destroy the last
        answer on its way.  So FIN first; and what still comes in is read by a Farewell.
        """
        if self.socket is not None and self.connected and not self.adj.cutting:
            unread = self._arrived()
            try:
                # shutdown() reaches the client even while a forked child holds a copy of the descriptor.
                self.socket.shutdown(socket.SHUT_WR)
                if unread:
                    Farewell(self.socket.dup(), self._map, self.adj.farewells)
            except OSError:
                pass  # the client was quicker
        super().handle_close()

    def _partly_read(self) -> bool:
        # Old clients send an extra line break after a body; that is no request.
        request = self.request
        return request is not None and (request.headers_finished or bool(request.header_plus.strip()))

    def _arrived(self) -> bool:
        """Whether the kernel holds bytes of the client that nobody has read."""
        try:
            return self.socket is not None and bool(
                self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            )
        except OSError:
            return False


class Farewell(Dispatcher):
    """Reads what a client still sends on a connection that we have ended, until it sees the end."""

    logger = log

    def __init__(self, sock: socket.socket, map: Map, others: set[Farewell]) -> None:
        self.until = Deadline.after(FAREWELL)
        self._others = others
        super().__init__(sock, map)
        self.connected = True
        others.add(self)

    def writable(self) -> bool:
        """Never: everything is said."""
        return False

    def handle_read(self) -> None:
        """Throw away what came; b"" is the end of it."""
        try:
            ended = self.socket is None or not self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self.close()

    def handle_close(self) -> None:
        """The library saw the end first."""
        self.close()

    def close(self) -> None:
        """Give the socket back."""
        self._others.discard(self)
        super().close()
