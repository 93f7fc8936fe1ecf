"""``pause()`` and ``resume()`` of a server: foreign code, which must not hold the loop's thread."""

from __future__ import annotations

import logging
import threading

from ..server import Server

log = logging.getLogger("gatewaylock.gateway")

PATIENCE = 0.5  # seconds that the loop, which has stops to hear, waits for one of them to come back


class Admission:
    """What is wanted of one server, and what it was told last; a thread closes the gap.

    One that hangs is left behind.  What is wanted meanwhile is asked for
    when it is back, so that a late ``pause()`` never undoes the ``resume()`` that came after it; calls
    on a thread each would do that.
    """

    def __init__(self, server: Server | None) -> None:
        self._server = server
        self._changed = threading.Condition()
        self._wanted = self._told = "resume"
        self._asking = False

    def want(self, name: str) -> str:
        """Have ``pause`` or ``resume`` called; what is not as it should be then, for people."""
        if not callable(getattr(self._server, name, None)):
            return "the server has no pause(): what comes to it is served" if name == "pause" else ""
        with self._changed:
            self._wanted = name
            under_way, self._asking = self._asking, True
        if not under_way:
            self._begin(name)
        with self._changed:
            if self._changed.wait_for(lambda: not self._asking, PATIENCE):
                return ""
        log.warning("the server's %s() has not come back yet", name)
        return f"the server's {name}() has not come back yet"

    def _begin(self, name: str) -> None:
        try:
            threading.Thread(target=self._ask, name=f"gatewaylock-{name}", daemon=True).start()
        except RuntimeError as error:
            log.warning("%s() is called on the main thread: %s", name, error)
            self._ask()

    def _ask(self) -> None:
        while (name := self._next()) is not None:
            try:
                getattr(self._server, name)()
            except BaseException:  # SystemExit too: it ends the call, not the thread that owes the next one
                log.exception("the server's %s() failed", name)

    def _next(self) -> str | None:
        with self._changed:
            if self._wanted == self._told:
                self._asking = False
                self._changed.notify_all()
                return None
            self._told = self._wanted
            return self._told
