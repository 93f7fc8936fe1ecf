"""A restart that waits until nobody is busy."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from ..core.deadline import NEVER, Deadline
from .names import callable_or_raise, quoted, some

log = logging.getLogger("gatewaylock.restarts")

#: how much is pending: a number, or the names
Pending = Callable[[], "int | Collection[str]"]
#: called with what ``pending`` gave back and the seconds waited so far
Report = Callable[["int | Collection[str]", float], object]

REPORT_EVERY = 30.0
LEAST_POLL = 0.01


class Deferral:
    """Asks ``pending`` again and again, on a daemon thread, and calls ``restart`` once.

    ``pending`` is foreign code and cannot be waited for: asking is all that is left.  It must not
    hang: what hangs cannot be asked whether it is idle, and this deferral then never ends.
    """

    def __init__(
        self,
        pending: Pending,
        restart: Callable[[], None],
        *,
        poll: float,
        max_wait: float,
        on_report: Report | None,
    ) -> None:
        callable_or_raise("pending", pending)
        self._pending, self._restart, self._on_report = pending, restart, on_report
        self._poll = max(LEAST_POLL, poll)
        self._began = time.monotonic()
        self._end = Deadline.after(max_wait) if max_wait > 0 else NEVER
        self._next_report = Deadline.after(REPORT_EVERY)
        self._turn = threading.Condition()
        self.outcome = "waiting"  #: then "idle", "overdue" or "cancelled"
        threading.Thread(target=self._run, name="gatewaylock-deferral", daemon=True).start()

    @property
    def waiting(self) -> bool:
        """Whether it may still restart or be cancelled."""
        return self.outcome == "waiting"

    def cancel(self) -> bool:
        """No restart comes of it any more; False when it has come, or was cancelled before."""
        return self._conclude("cancelled")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to *timeout* seconds (None: for ever) for its outcome; whether there is one."""
        with self._turn:
            return self._turn.wait_for(lambda: not self.waiting, timeout)

    def _conclude(self, outcome: str) -> bool:
        with self._turn:
            if not self.waiting:
                return False
            self.outcome = outcome
            self._turn.notify_all()
            return True

    def _run(self) -> None:
        while self.waiting:
            busy = self._ask()
            if busy is not None and not _count(busy):
                self._go("idle")
            elif self._end.passed():
                log.warning("restart no longer deferred: %s after %.0f s", _said(busy), self._waited())
                self._go("overdue")
            else:
                self._report(busy)
                self.wait(min(self._poll, self._end.left()))

    def _go(self, outcome: str) -> None:
        if self._conclude(outcome):
            try:
                self._restart()
            except Exception as error:
                log.warning("deferred restart not asked for: %s", error)

    def _ask(self) -> int | Collection[str] | None:
        """None when it raised, which says nothing about who is busy."""
        try:
            return self._pending()
        except Exception as error:
            log.warning("restart deferred: who is busy cannot be told: %r", error)
            return None

    def _report(self, busy: int | Collection[str] | None) -> None:
        if not self._next_report.passed():
            return
        self._next_report = Deadline.after(REPORT_EVERY)
        log.warning("restart deferred: %s after %.0f s", _said(busy), self._waited())
        if self._on_report is not None and busy is not None:
            try:
                self._on_report(busy, self._waited())
            except Exception:
                log.exception("on_report of a deferred restart raised")

    def _waited(self) -> float:
        return time.monotonic() - self._began


def _count(busy: int | Collection[str]) -> int:
    return max(0, busy) if isinstance(busy, int) else len(busy)


def _said(busy: int | Collection[str] | None) -> str:
    if busy is None:
        return "busy, nobody knows with what,"
    if isinstance(busy, int):
        return f"{busy} still busy"
    return f"{len(busy)} still busy ({', '.join(some(map(quoted, busy), len(busy)))})"
