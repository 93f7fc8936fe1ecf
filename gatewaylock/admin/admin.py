"""The admin address of a gateway: it answers in every phase, and outlives lives."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from ..core.deadline import NEVER, Deadline
from ..core.events import Event
from ..core.plan import Phase
from ..loop.annex import Insight
from . import page, steer
from .guard import Guard
from .maker import Maker
from .metrics import Classes, Facts, exposition
from .page import Page
from .past import Past
from .server import Job, Server
from .site import Site
from .tally import Tally
from .view import LANES, View, lanes_of
from .wire import Answer, Asked, Refused, say

log = logging.getLogger("gatewaylock.admin")

SOON, LATER = 1.0, 2.0  #: seconds between two looks for who watches: while it leaves, while it serves
PAGE, EVENTS = "page", "events"


class Admin:
    """``Gateway(annex=Admin("127.0.0.1", 18790))``.

    *hosts* are names for this address beside its own and localhost.  With a *token* (16 or more characters)
    whoever has it may steer.  ConfigError.
    """

    def __init__(self, host: str, port: int, *, hosts: Iterable[str] = (), token: str = "") -> None:
        self._address, self._hosts, self._token = (host, port), tuple(hosts), token
        self._guard = Guard(host, self._hosts, token)
        self._page = Page(stream="events?page", links=("status", "metrics"))

    @property
    def address(self) -> tuple[str, int]:
        """Where it wants to listen."""
        return self._address

    def open(self, listener: socket.socket, insight: Insight) -> None:
        """Answer from now on.  RuntimeError where no thread can be had."""
        where = listener.getsockname()
        self._guard = Guard(self._address[0], (*self._hosts, where[0]), self._token)
        self._insight, self._tally, self._classes = insight, Tally(insight), Classes()
        self._past = Past(insight.history, fresh=60.0)  # what happens makes it stale
        self._sent: dict[str, str] = {}
        self._refused, self._quiet_until = 0, Deadline.after(0)
        self._site = Site(self._view, insight.phase, self._page)
        self._site.made["/metrics"] = self._metrics
        self._maker = Maker(self._look)
        self._server = Server(listener, self._answer, self._maker.hire)
        self._maker.start()
        try:
            self._server.start()
        except RuntimeError:
            self._maker.close()
            raise
        self._unsubscribe = insight.news.subscribe(self._hear)
        log.info("admin page on http://%s:%d/", f"[{where[0]}]" if ":" in where[0] else where[0], where[1])

    def shut(self, shut: bool) -> None:
        """Leave newcomers to the next image or process, or (False) take them again."""
        self._server.shut(shut)

    def quiet(self, deadline: Deadline) -> None:
        """Wait until who has asked has the answer."""
        self._server.wait_quiet(deadline)

    def kept(self) -> dict[str, Any]:
        """Counts, for the next image."""
        return self._tally.kept()

    def close(self) -> None:
        """The end, within a second or so."""
        self._unsubscribe()
        self._maker.close()
        self._server.close()

    # -- on the server's thread ----------------------------------------------------------------------

    def _answer(self, asked: Asked, reply: Callable[[Answer], None]) -> Answer | Job | str:
        self._guard.check(asked)
        if asked.path == "/steer":
            return self._steer(asked, reply)
        if asked.path == "/events" and asked.method == "GET":
            self._server.do(self._greet)
            return PAGE if asked.query == PAGE else EVENTS
        make = self._site.find(asked)
        if asked.path in self._site.at_once:
            return make(asked)
        return lambda: reply(self._made(make, asked))

    def _steer(self, asked: Asked, reply: Callable[[Answer], None]) -> Job:
        if asked.method != "POST":
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only POST", ("Allow", "POST"))
        try:
            request = steer.request_of(asked, self._guard)
        except Refused as refused:
            self._complain(asked.peer, refused.answer.body.decode().strip())
            raise
        post = self._insight.desk.post
        return lambda: post(request, lambda verdict: steer.verdict_of(asked, verdict, reply))

    def _complain(self, peer: str, why: str) -> None:
        """Once a second at most: who guesses tokens must not fill the disk."""
        self._refused += 1
        if self._quiet_until.passed():
            log.warning("steering by %s refused: %s; %d refused so far", peer, why, self._refused)
            self._quiet_until = Deadline.after(1.0)

    def _greet(self) -> None:
        self._sent = {}
        self._maker.look_soon()

    # -- on the maker's thread -----------------------------------------------------------------------

    def _made(self, make: Callable[[Asked], Answer], asked: Asked) -> Answer:
        try:
            return make(asked)
        except Exception:
            log.exception("%s could not be made", asked.path)
            return say(HTTPStatus.INTERNAL_SERVER_ERROR, "that failed; the log says why")

    def _view(self) -> View:
        status, tally = self._insight.desk.status(), self._tally
        lanes = lanes_of(status, self._insight.work.lanes.census())
        return View(
            status=status,
            now=time.time(),
            lanes=tuple(lanes[:LANES]),
            more_lanes=max(0, len(lanes) - LANES),
            total=tally.total,
            lives=self._past.lives(),
            entries=self._past.entries(),
            steers=self._guard.steers,
        )

    def _metrics(self, asked: Asked) -> Answer:
        return exposition(self._facts, asked.headers.get("accept", ""))

    def _facts(self) -> Facts:
        return Facts.gather(self._insight, self._tally, self._classes, forced=self._past.forced())

    def _look(self) -> Deadline:
        """Tell all who watch how it is; when to look again."""
        on_page, on_events = self._server.listens(PAGE), self._server.listens(EVENTS)
        if not (on_page or on_events):
            return NEVER
        view = self._view()
        if on_page:
            news = page.live(view)
            changed = {name: html for name, html in news["sections"].items() if self._sent.get(name) != html}
            self._sent = news["sections"]
            self._server.publish(PAGE, _event(PAGE, {**news, "sections": changed}))
        if on_events:
            self._server.publish(EVENTS, _event("status", view.status.as_dict()))
        return Deadline.after(LATER if view.status.phase is Phase.SERVING else SOON)

    # -- on the loop's thread ------------------------------------------------------------------------

    def _hear(self, event: Event) -> None:
        self._tally.hear(event)
        self._past.stale()
        if self._server.listens(EVENTS):
            self._maker.hire(lambda: self._server.publish(EVENTS, _event(event.kind, event.as_dict())))
        self._maker.look_soon()


def _event(name: str, facts: dict[str, Any]) -> bytes:
    """One server-sent event; JSON has no line breaks of its own."""
    return f"event: {name}\ndata: {json.dumps(facts, separators=(',', ':'))}\n\n".encode()
