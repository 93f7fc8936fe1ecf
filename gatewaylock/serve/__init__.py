"""HTTP for a gateway: a threaded WSGI server that can be closed without losing a request.

    from gatewaylock.serve import load, serve

    def start(gateway):
        return serve(gateway, load("httpbin:app"), [gateway.listen("127.0.0.1", 18789)])

    target    MODULE:ATTR -> application
    server    serve, close                        poller   the thread that owns the sockets
    door      a listening socket                  channel  a connection       workers  threads for answers
    library   the one room that knows waitress    words    the log           counts   answers by status

``load`` and ``status_app`` need no library; ``serve`` needs the extra ``gatewaylock[serve]``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from .target import load

if TYPE_CHECKING:
    from ..admin.wsgi import HasStatus
    from .server import HasDeadline, WSGIServer

__all__ = ["check_library", "load", "serve", "status_app"]


def check_library() -> None:
    """ConfigError when the library that ``serve`` needs is not installed."""
    from importlib.util import find_spec

    if find_spec("waitress") is None:
        raise ConfigError("serving needs waitress: pip install 'gatewaylock[serve]'")


def status_app(gateway: HasStatus) -> Callable[..., Any]:
    """``admin.wsgi.status_app``: what is served where nothing else is."""
    from ..admin import wsgi

    return wsgi.status_app(gateway)


def serve(
    gateway: HasDeadline,
    app: Callable[..., Any],
    listeners: Sequence[socket.socket],
    *,
    threads: int = 16,
    linger: float = 0.5,
) -> WSGIServer:
    """Serve the WSGI application *app* on *listeners*, from ``gateway.listen``; to be returned by ``start``.

    At most *threads* requests are answered at once.  close() takes no new connection and finishes what
    it has accepted; a connection that is kept alive may still ask for *linger* seconds.
    ConfigError when waitress is not installed: ``pip install 'gatewaylock[serve]'``.
    """
    # ``server`` is imported when needed: the library costs 25 ms that only a server has to pay.
    check_library()
    from . import server

    return server.serve(gateway, app, listeners, threads=threads, linger=linger)
