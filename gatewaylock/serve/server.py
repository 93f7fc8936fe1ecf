"""A threaded WSGI server whose life can end without losing a request.

    close() -----> leaving ----------------------------> gone
       |             no new connections; every answer says "Connection: close"; a connection
       |             that nothing was asked on for ``linger`` seconds is closed
       +-- deadline --> cutting: what is left is closed, counted and logged

One thread, the poller's, owns every socket; workers make the answers; close() only waits.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..core.deadline import Deadline
from .channel import Options
from .door import Door
from .poller import Poller
from .words import log, plain
from .workers import Workers

RESERVE = 1.0  #: seconds before the gateway's deadline at which we cut: the next life needs them
GRACE = 0.2  #: seconds for a thread to see that it is over
OPTIONS = {
    "ident": "gatewaylock",
    "connection_limit": 1000,
    # What a proxy says reaches the application, which knows whether there is one.  The library would
    # either drop it or believe it.
    "clear_untrusted_proxy_headers": False,
}


class HasDeadline(Protocol):
    """What the server needs of its gateway."""

    @property
    def deadline(self) -> Deadline:
        """The end of the stop or restart under way; it may move to an earlier instant."""
        ...


def serve(
    gateway: HasDeadline,
    app: Callable[..., Any],
    listeners: Sequence[socket.socket],
    *,
    threads: int = 16,
    linger: float = 0.5,
) -> WSGIServer:
    """Serve *app* on *listeners* (TCP or Unix) in *threads* threads; returns at once.

    *linger*: seconds that a kept-alive connection has for one more request when the server closes.
    ValueError for no listener.
    """
    return WSGIServer(gateway, app, listeners, threads=threads, linger=linger)


class WSGIServer:
    """One life of the server.  It never closes the listeners it was given."""

    def __init__(
        self,
        gateway: HasDeadline,
        app: Callable[..., Any],
        listeners: Sequence[socket.socket],
        *,
        threads: int = 16,
        linger: float = 0.5,
    ) -> None:
        if not listeners:
            raise ValueError("nothing to listen on")
        self._gateway = gateway
        self._changed = threading.Condition()
        self._reserve: float | None = None  # set by the first close()
        self._gone = False
        adj = Options(**OPTIONS)
        self._workers = Workers(max(1, threads))
        self._poller = Poller(adj, linger, self._on_gone)
        self._poller.start([Door(app, one, self._poller.map, self._workers, adj) for one in listeners])

    def connections(self) -> int:
        """How many connections are open."""
        return len(self._poller.channels())

    def in_flight(self) -> int:
        """How many of them have a request that is not answered yet."""
        return sum(channel.busy() for channel in self._poller.channels())

    def pause(self) -> None:
        """Accept nothing more; what is connected is served, and asked to leave with its next answer."""
        self._poller.pause(True)

    def resume(self) -> None:
        """Accept again."""
        self._poller.pause(False)

    def hurry(self) -> None:
        """Look at ``gateway.deadline`` again: it has moved."""
        with self._changed:
            self._changed.notify_all()

    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        """Answer what has been asked, then end; shortly before ``gateway.deadline`` cut what is left.

        The listeners stay open.  With *restart_expected_ms* connections in the kernel's queue wait for
        the next life; with None (a stop) those that wait already are answered.  Safe to call twice and
        from any thread.
        """
        left = self._gateway.deadline.left()
        with self._changed:
            first = self._reserve is None
            if first:
                self._reserve = min(RESERVE, left / 4)
        if first:
            log.debug("closing: %s", plain(reason))
            stay = getattr(self._gateway, "listeners_stay", restart_expected_ms is not None)
            self._poller.leave(sweep=not stay, linger=left / 2)
        if not self._wait():
            self._poller.cut(max(GRACE, min(RESERVE, self._gateway.deadline.left()) / 2))
        # A thread that hangs is waited for in vain: what comes after us needs the rest.
        stuck = self._workers.close(Deadline.after(min(GRACE, self._gateway.deadline.left() / 2)))
        if stuck and first:
            log.warning("still inside the application: %s", ", ".join(stuck))

    def _wait(self) -> bool:
        """True when everything is answered, False when time is over."""
        with self._changed:
            while not self._gone:
                until = self._gateway.deadline.earlier(self._reserve or 0.0)
                if until.passed():
                    return False
                self._changed.wait(until.timeout())
            return True

    def _on_gone(self) -> None:
        with self._changed:
            self._gone = True
            self._changed.notify_all()
