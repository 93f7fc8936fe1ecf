"""A listening socket: connections come in here, until the server is told to close."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from ..core.deadline import Deadline
from ..system.host import close_after_fork
from .channel import Channel, Options
from .library import BaseWSGIServer, Map
from .words import log
from .workers import Workers

BATCH = 32  #: connections accepted in one turn of the poller, so that the open ones get their turn too
PAUSE = 0.25  #: seconds without accepting when the process is out of descriptors


class Door(BaseWSGIServer):
    """Accepts on a copy of *listener*; closing the copy leaves the gateway's own socket listening."""

    logger = log
    adj: Options
    channel_class = Channel

    def __init__(
        self, app: Callable[..., object], listener: socket.socket, map: Map, workers: Workers, adj: Options
    ) -> None:
        copy = listener.dup()
        self._unix = copy.family == getattr(socket, "AF_UNIX", None)
        self._pulling = threading.Lock()
        self._sweep: int | None = None  # set when leaving: how many we still accept, at most
        self._open = True
        self.pulled = False  #: the poller is being woken; it resets this before it looks
        self.paused: Deadline | None = None  #: out of descriptors; accepting goes on then
        info = (copy.family, copy.type, copy.proto, None)
        super().__init__(app, map, True, copy, workers, adj, info, bind_socket=False)
        self.server_name = self.effective_host
        close_after_fork(self.forget)

    def accept_connections(self) -> None:
        """Begin.  Without the library's ``listen()``: that would change the backlog of the original."""
        self.accepting = True

    def leave(self, sweep: bool) -> None:
        """Accept no more; with *sweep*, as soon as the kernel's queue was seen empty once."""
        self._sweep = socket.SOMAXCONN if sweep else 0  # no more than can wait there: clients may be many
        self.accepting = sweep
        if sweep:
            self.handle_accept()

    def readable(self) -> bool:
        """Whether to wait for a connection."""
        return super().readable() and not self.adj.paused and (self.paused is None or self.paused.passed())

    def handle_accept(self) -> None:
        """Take what waits, BATCH at most."""
        for _ in range(0 if self.adj.paused else BATCH):  # paused while the poller was already looking
            accepted = self._accept_one()
            if self._sweep is not None:
                self._sweep -= 1
                self.accepting = self._sweep > 0 and (accepted or self.paused is not None)
            if not accepted or not self.accepting:
                break

    def forget(self) -> None:
        """In a forked child: a copy of a listener there would keep clients waiting for nobody."""
        self.accepting = False
        if self.socket is not None:
            self.socket.close()

    def pull_trigger(self) -> None:
        """Wake the poller; the lock, because after close() the descriptor may be somebody else's."""
        if self.pulled:
            return  # the poller will look again anyway
        with self._pulling:
            if self._open:
                self.pulled = True
                super().pull_trigger()

    def close(self) -> None:
        """Close our copy and the trigger."""
        with self._pulling:
            self._open = False
            super().close()

    def getsockname(self) -> tuple[str, object]:
        """What the application sees as SERVER_NAME and SERVER_PORT."""
        name = self.socket.getsockname() if self.socket is not None else ("", 0)
        return ("localhost", name) if self._unix else (str(name[0]), int(name[1]))

    def fix_addr(self, addr: tuple[object, ...]) -> tuple[object, ...]:
        """What the application sees as REMOTE_ADDR and REMOTE_PORT."""
        return ("localhost", 0) if self._unix else addr

    def _accept_one(self) -> bool:
        assert self.socket is not None
        try:
            conn, addr = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            self.paused = None
            return False
        except OSError as error:
            # Out of descriptors: the connection stays in the queue, the socket stays readable, and a
            # loop that just went on would burn a processor.
            if self.paused is None:
                log.warning("cannot accept connections: %s; trying again every %g s", error.strerror, PAUSE)
            self.paused = Deadline.after(PAUSE)
            return False
        self.paused = None
        try:
            if not self._unix:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.channel_class(self, conn, self.fix_addr(addr), self.adj, self._map)
        except OSError:
            conn.close()  # the client has gone again
        return True
