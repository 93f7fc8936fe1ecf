"""One way down: drain, then close, on a thread of its own, under one deadline."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..core.deadline import Deadline
from ..core.plan import Action, DrainReport, Request
from ..core.tried import tried
from ..server import Server
from ..work.foreign import called
from .messages import Closed, Drained
from .parts import Options, Work

log = logging.getLogger("gatewaylock.gateway")

#: what clients are told about when to come back, in milliseconds
RESTART_EXPECTED_MS = 1500


class Shutdown:
    """The end of one life.  The loop makes one, starts it, and may turn it into a stop or hurry it.

    ``post`` takes Drained and Closed.  ``keeps_work``: the process stays, so work that is not done
    is kept for the next life; otherwise its futures fail, now, while somebody can still hear it.
    """

    def __init__(
        self,
        request: Request,
        options: Options,
        *,
        deadline: Deadline,
        server: Server | None,
        work: Work,
        keeps_work: bool,
        post: Callable[[object], None],
    ) -> None:
        self.request = request
        self.deadline = deadline
        self._options = options
        self._server = server
        self._work = work
        self._keeps_work = keeps_work
        self._post = post

    @property
    def stops(self) -> bool:
        """Whether no life follows."""
        return self.request.action is Action.STOP

    def start(self) -> None:
        """Begin, on a daemon thread: one that hangs must not hold the process."""
        try:
            threading.Thread(target=self._run, name="gatewaylock-shutdown", daemon=True).start()
        except RuntimeError as error:
            # Deaf to further signals meanwhile, but on its way; the watchdog's second line is no thread.
            log.warning("draining on the main thread: %s", error)
            self._run()

    def become_stop(self, request: Request, deadline: Deadline) -> None:
        """A stop has overtaken the restart: no life follows, and there is less time."""
        self.request = request
        self.deadline = min(self.deadline, deadline)
        self._keeps_work = False
        self._work.drain.hasten(self._work_until(), before="stop")
        self._tell_server()

    def hurry(self) -> None:
        """Skip the rest of the drain."""
        self._work.drain.hasten(Deadline.after(0))

    def _tell_server(self) -> None:
        """The deadline moved; a server that waits for the old one may offer ``hurry()`` to look again."""
        hurry = getattr(self._server, "hurry", None)
        if callable(hurry):
            try:
                called(lambda: tried(hurry), 0, "gatewaylock-hurry")  # the loop has the next stop to hear
            except RuntimeError as error:
                log.warning("nobody tells the server to hurry: %s", error)

    def _work_until(self) -> Deadline:
        return self.deadline.earlier(self._kept_back())

    def _runs_until(self) -> Deadline:
        """The rest is the server's: all that a stop has kept back, half of what a restart has."""
        return self.deadline.earlier(self._kept_back() / (1 if self.stops else 2))

    def _runs_early(self) -> float:
        """A stop has no time beyond its drain: the grace of the runs comes out of it."""
        return self._options.limits.stop_grace if self.stops else 0.0

    def _kept_back(self) -> float:
        limits = self._options.limits
        return limits.stop_reserve if self.stops else limits.shutdown

    def _run(self) -> None:
        report = self._drain_work()
        self._post(Drained(report))
        self._settle_work()
        self._post(Closed(self._close_server()))

    def _drain_work(self) -> DrainReport:
        try:
            before = "stop" if self.stops else "restart"
            until = self._work_until()
            return self._work.drain.run(
                until,
                before=before,
                timeout_ms=_as_configured(until.left()),
                grace=self._options.limits.abort,
                last=self._runs_until,
                early=self._runs_early,
            )
        except Exception:
            # Nothing may keep the server from being closed; what is left then is not known.
            log.exception("shutdown error: the drain failed")
            return DrainReport(0, 0, ("unknown",))

    def _settle_work(self) -> None:
        if self._keeps_work:
            self._work.lanes.hold()
            return
        for name in self._work.lanes.abandon():
            log.warning("lost: %s", name)

    def _close_server(self) -> bool:
        if self._server is None:
            return True
        reason = "gateway stopping" if self.stops else "gateway restarting"
        expected = None if self.stops else RESTART_EXPECTED_MS
        try:
            self._server.close(reason, restart_expected_ms=expected)
        except BaseException as error:  # SystemExit as well: the flow goes on, as the seed's does
            log.error("shutdown error: %s", error, exc_info=True)
            return False
        return True


def _as_configured(seconds: float) -> int:
    """Milliseconds for people, who gave round numbers: a moment of it has passed already."""
    step = 0.1 if seconds >= 1 else 0.01
    return round(round(seconds / step) * step * 1000)
