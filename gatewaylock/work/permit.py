"""Who may restart us, when and why: permits, scheduled restarts, restarts that wait until nobody is busy."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..core.errors import RestartFailed
from ..core.plan import LONGEST_REASON
from .deferral import Deferral, Pending, Report

log = logging.getLogger("gatewaylock.restarts")

Audit = Mapping[str, object]

PERMIT = 5.0  # seconds a permit lasts, beyond the delay it was given for
COOLDOWN = 30.0  # seconds between two restarts that programs asked for
LONGEST_DELAY = 60.0


@dataclass(frozen=True)
class Scheduled:
    """What ``schedule`` did.  Times are in seconds."""

    delay: float  #: from now until the restart
    coalesced: bool  #: another one, pending or in flight, serves for this one
    cooldown_applied: float  #: how much of the delay comes from the last restart being recent
    reason: str  #: of the restart that will come
    due: float  #: when it comes, in seconds of ``time.monotonic()``


@dataclass
class _Pending:
    due: float
    reason: str
    audit: Audit | None
    timer: threading.Timer = field(init=False)


class Restarts:
    """Permits for one restart signal each, and restarts that a program asks for.

    ``emit(reason, audit)`` is called on a timer's thread when a scheduled restart is due; it must
    bring the authorisation with it.  It is in flight until ``settled()``.
    """

    def __init__(self, emit: Callable[[str, Audit | None], None], allow_external: bool = False) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._external = allow_external
        self._permits, self._permits_end = 0, 0.0
        self._pending: _Pending | None = None
        self._in_flight: str | None = None  # its reason
        self._last: float | None = None  # when the last one was emitted
        self._deferrals: set[Deferral] = set()
        self._closed = False

    # -- permits -----------------------------------------------------------------------------------

    def authorize(self, delay: float = 0.0) -> None:
        """Permit one restart signal within *delay* + 5 seconds.

        Permits are counted.  The latest one says when all of them expire.
        """
        with self._lock:
            now = time.monotonic()
            self._expire(now)
            self._permits += 1
            self._permits_end = max(self._permits_end, now + max(0.0, delay) + PERMIT)

    def consume(self) -> bool:
        """Use up one permit; False when there is none."""
        with self._lock:
            self._expire(time.monotonic())
            permitted = self._permits > 0
            self._permits -= permitted
            return permitted

    def allow_external(self, allowed: bool = True) -> None:
        """Let a restart signal through without a permit, or no longer."""
        self._external = allowed

    @property
    def external_allowed(self) -> bool:
        """Whether a restart signal needs no permit."""
        return self._external

    def _expire(self, now: float) -> None:
        if now > self._permits_end:
            self._permits, self._permits_end = 0, 0.0

    # -- scheduled restarts ------------------------------------------------------------------------

    def schedule(self, delay: float = 2.0, reason: str = "", audit: Audit | None = None) -> Scheduled:
        """Restart in *delay* seconds (0..60), but no sooner than 30 s after the last one was emitted.

        One restart serves all who ask: while one is in flight, or pending and due no later, this
        changes nothing; one that is due later gives way.  *reason* is cut at 200 characters; *audit*
        goes to ``emit`` as it is.  RestartFailed after ``close``.
        """
        with self._lock:
            self._check_open()
            now = time.monotonic()
            reason = reason.strip()[:LONGEST_REASON]
            cooldown = 0.0 if self._last is None else max(0.0, self._last + COOLDOWN - now)
            due = now + min(max(delay, 0.0), LONGEST_DELAY) + cooldown
            if self._in_flight is not None:
                return Scheduled(0.0, True, cooldown, self._in_flight, now)
            there = self._pending
            if there is not None and there.due <= due:
                return Scheduled(max(0.0, there.due - now), True, cooldown, there.reason, there.due)
            self._arm(_Pending(due, reason, audit), due - now)
            return Scheduled(due - now, False, cooldown, reason, due)

    def cancel(self) -> bool:
        """Call off the pending restart; False when there is none, or it is in flight already."""
        with self._lock:
            pending, self._pending = self._pending, None
        if pending is not None:
            pending.timer.cancel()
        return pending is not None

    def settled(self) -> None:
        """What was in flight was served, refused or overtaken: the next request is a new one."""
        with self._lock:
            self._in_flight = None

    def defer_until_idle(
        self,
        pending: Pending,
        *,
        poll: float = 0.5,
        max_wait: float = 90.0,
        reason: str = "",
        audit: Audit | None = None,
        on_report: Report | None = None,
    ) -> Deferral:
        """Restart as soon as ``pending()`` is 0, asked every *poll* seconds, or after *max_wait* (0: never).

        ``pending`` may give back names instead of a number: then the log can say who is busy, every
        30 s; ``on_report(pending, waited)`` is called with it.  A ``pending`` that raises is reported
        and asked again.  The restart is then one of ``schedule``.  RestartFailed after ``close``.
        """

        def restart() -> None:
            self.schedule(0.0, reason, audit)

        with self._lock:
            self._check_open()
            self._deferrals = {other for other in self._deferrals if other.waiting}
            deferral = Deferral(pending, restart, poll=poll, max_wait=max_wait, on_report=on_report)
            self._deferrals.add(deferral)
        return deferral

    def close(self) -> None:
        """The end of the gateway: nothing pending or deferred will come any more."""
        with self._lock:
            self._closed = True
            deferrals, self._deferrals = self._deferrals, set()
        self.cancel()
        for deferral in deferrals:
            deferral.cancel()

    def _check_open(self) -> None:
        if self._closed:
            raise RestartFailed("the gateway has ended")

    def _arm(self, pending: _Pending, delay: float) -> None:
        """Put *pending* in the place of what is pending.  Lock held."""
        pending.timer = threading.Timer(delay, self._fire, (pending,))
        pending.timer.name, pending.timer.daemon = "gatewaylock-restart", True
        pending.timer.start()
        if self._pending is not None:
            self._pending.timer.cancel()
        self._pending = pending

    def _fire(self, pending: _Pending) -> None:
        with self._lock:
            if self._pending is not pending:
                return  # called off, or pulled earlier, at the last moment
            self._pending = None
            self._in_flight, self._last = pending.reason, time.monotonic()
        try:
            self._emit(pending.reason, pending.audit)
        except Exception:
            log.exception("a scheduled restart could not be asked for")
            self.settled()


def restart_iteration_hook(fn: Callable[[], object]) -> Callable[[], bool]:
    """What to call before each life: the first call does nothing and gives back False, each later
    one calls *fn* and gives back True.
    """
    first = True

    def hook() -> bool:
        nonlocal first
        if first:
            first = False
            return False
        fn()
        return True

    return hook
