"""What is where.  One table for the admin address and for the built-in application.

/          a page for people               /status    the same as JSON
/healthz   200 while the process lives     /readyz    200 while new work is accepted, else 503
/live      what the page's script asks for

and on the admin address alone:

/metrics   for Prometheus                  /events    what happens, as server-sent events
/steer     POST: restart, stop, quiet, resume, cancel; with the token
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus

from ..core.plan import Phase
from . import page
from .page import Page
from .view import View
from .wire import HTML, JSON, Answer, Asked, Refused, say

Make = Callable[[Asked], Answer]

READ = ("GET", "HEAD")


class Site:
    """Answers by path.  *look* may take a lock; *phase* must not."""

    def __init__(self, look: Callable[[], View], phase: Callable[[], Phase], pages: Page) -> None:
        self._look, self._phase, self._page = look, phase, pages
        #: made at once, on whatever thread asks
        self.at_once: dict[str, Make] = {"/healthz": self._health, "/readyz": self._ready}
        #: made where it may take a moment
        self.made: dict[str, Make] = {"/": self._whole, "/live": self._live, "/status": self._status}

    def find(self, asked: Asked) -> Make:
        """Who answers.  Refused for what is not there."""
        found = self.at_once.get(asked.path) or self.made.get(asked.path)
        if found is None:
            paths = ", ".join([*self.made, *self.at_once])
            raise Refused(HTTPStatus.NOT_FOUND, f"not found: try {paths}")
        if asked.method not in READ:
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", ("Allow", "GET, HEAD"))
        return found

    def _health(self, asked: Asked) -> Answer:
        return say(HTTPStatus.OK, "ok")  # that we answer is the answer

    def _ready(self, asked: Asked) -> Answer:
        phase = self._phase()
        ready = phase is Phase.SERVING
        return say(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, phase.value)

    def _status(self, asked: Asked) -> Answer:
        text = json.dumps(self._look().status.as_dict(), indent=2) + "\n"
        return Answer(HTTPStatus.OK, text.encode(), JSON)

    def _whole(self, asked: Asked) -> Answer:
        return Answer(HTTPStatus.OK, self._page.whole(self._look()), HTML, policy=self._page.policy)

    def _live(self, asked: Asked) -> Answer:
        return Answer(HTTPStatus.OK, page.encode(page.live(self._look())), JSON)
