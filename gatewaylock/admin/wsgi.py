"""The same site as a WSGI application: to be read, on the address of the application itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..core.plan import Status
from .page import Page
from .past import Past
from .site import Site
from .view import LANES, View, lanes_of
from .wire import Asked, Refused

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class HasStatus(Protocol):
    """What the page needs of its gateway."""

    def status(self) -> Status:
        """How the gateway is now."""
        ...


def status_app(gateway: HasStatus) -> Application:
    """How *gateway* is, for people and for probes, as a WSGI application.

    Its page looks again every two seconds.  A stream would hold one of the application's threads for each
    reader, and a restart would have to wait for it.
    """
    census = getattr(getattr(gateway, "lanes", None), "census", None)
    past = Past(getattr(gateway, "history", list))

    def look() -> View:
        status = gateway.status()
        lanes = lanes_of(
            status, census() if census else [(name, size, 0) for name, size in status.lanes.items()]
        )
        more = max(0, len(lanes) - LANES)
        return View(status, time.time(), tuple(lanes[:LANES]), more, None, past.lives(), past.entries())

    site = Site(look, lambda: gateway.status().phase, Page(stream="", links=("status",)))

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        method, path = str(environ.get("REQUEST_METHOD", "GET")), str(environ.get("PATH_INFO") or "/")
        asked = Asked(method, path)
        try:
            answer = site.find(asked)(asked)
        except Refused as refused:
            answer = refused.answer
        start_response(answer.line, answer.header())
        return [] if method == "HEAD" else [answer.body]

    return app
