"""Stop beats restart, and stops escalate.

ESCALATION in core/endings.py is the table of it.  The lame duck, where there is one, comes
before the drain and is over with the second stop.
"""

from __future__ import annotations

import logging
import signal
from itertools import count

from ..core.deadline import NEVER, Deadline
from ..core.plan import Action, Phase, Request, Verdict
from .descent import Descent
from .house import House
from .lameduck import LameDuck
from .messages import Impatient
from .shutdown import Shutdown
from .startwatch import StartWatch
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")


class Stopping:
    """Every stop, by whomever; on the loop's thread but for ``soon``, ``at_the_latest`` and ``exit_at_once``."""

    def __init__(self, house: House, vitals: Vitals, descent: Descent) -> None:
        self._house, self._vitals, self._descent = house, vitals, descent
        self._options = house.options
        self.lame_duck = LameDuck(house, vitals, descent)
        self._due = NEVER  # of the stop signal that is being read
        self._unheard = count(1)  # not a number: stops come from any thread, and next() is one step

    def watch(self) -> StartWatch:
        """Somebody who calls ``soon`` for each stop signal."""
        return StartWatch(self._house.inbox, self._house.stops(), self.soon)

    def soon(self, cause: str) -> None:
        """From any thread: a stop is in the inbox.  A ``start()`` under way sees the event, and has until then.

        Nobody takes it out of there as long as ``start()`` hangs, or any more when all is over: those that
        come then are counted here.
        """
        vitals = self._vitals
        nobody_hears = vitals.phase in (Phase.STARTING, Phase.EXITED)
        if nobody_hears and next(self._unheard) >= 3 and self._options.escalate:
            self.exit_at_once(cause)
        if vitals.phase is Phase.STARTING and not vitals.stop_requested.is_set():
            vitals.deadline = Deadline.after(self._options.limits.stop)
            self._house.watchdog.arm(vitals.deadline, 0)
        vitals.stop_requested.set()
        self._house.watcher.stop_is_asked()

    def watch_the_end(self) -> None:
        """The loop is over, and the process is to be.  What still runs in it may refuse: stops escalate on."""
        self._unheard = count(self._vitals.stops + 1)
        self._house.inbox.keep()
        self.watch().begin()

    def brace(self) -> None:
        """A stop signal has come: the deadline stands before anything is logged, for the log may be a full pipe."""
        vitals = self._vitals
        self._house.watcher.stop_is_asked()
        if not self.ignores():
            self._due = min(Deadline.after(self._options.limits.stop), vitals.deadline)
            self._house.watchdog.arm(self._due, 0)

    def at_the_latest(self, deadline: Deadline) -> None:
        """From any thread: our supervisor kills what is left shortly after *deadline*."""
        self._vitals.deadline = min(self._vitals.deadline, deadline)
        self._house.watchdog.arm(self._vitals.deadline, 0)
        self._house.inbox.post(Impatient(deadline))

    def hasten(self, deadline: Deadline) -> None:
        """The other half, on the loop's thread: no more drain, close in what is left."""
        self.lame_duck.end()
        under_way = self._vitals.shutdown
        if under_way and under_way.stops:
            log.warning("no work ends any more, and our supervisor waits no longer: ending now")
            under_way.become_stop(under_way.request, deadline)

    def exit_at_once(self, cause: str) -> None:
        """The third stop."""
        code = 130 if cause == "SIGINT" else 143
        self._house.watchdog.end_now(code, f"received {cause} a third time; exiting at once")

    def ignores(self) -> bool:
        """Whether one more stop is ignored by rule (``escalate=False``)."""
        vitals = self._vitals
        return not self._options.escalate and (vitals.phase is Phase.LAME_DUCK or vitals.shutdown is not None)

    def stop(self, request: Request, *, accepted: bool = False) -> Verdict:
        """A stop that was asked for; what is said to it.

        *accepted*: by our successor, which has ended by it, and so it is ignored by no rule.
        """
        vitals, under_way = self._vitals, self._vitals.shutdown
        due, self._due = self._due, NEVER
        obeys = self._options.escalate or accepted
        if vitals.phase is Phase.LAME_DUCK or (under_way and (under_way.stops or not obeys)):
            return self._again(request)
        vitals.stops = 1
        vitals.stop_requested.set()
        vitals.begin(request)
        vitals.reason, vitals.farewell = request.why(), ("stopped", Action.STOP)
        deadline = min(Deadline.after(self._options.limits.stop), vitals.deadline, due)
        verdict = (
            self._overtake(request, under_way, deadline) if under_way else self._first(request, deadline)
        )
        if request.force:
            self._hurry()
        return verdict

    def _first(self, request: Request, deadline: Deadline) -> Verdict:
        vitals = self._vitals
        vitals.deadline = (
            deadline  # also where nothing drains: what comes after knows when we have to be gone
        )
        self._house.watchdog.arm(deadline, 0)
        log.info("received %s; shutting down", request.cause, extra=vitals.about("asked", request))
        if request.reason:
            log.info("reason given: %r", request.reason)
        self._pass_on()
        if vitals.phase in (Phase.PARKED, Phase.RESPAWNING):
            self._descent.cancel_proving()
            vitals.step("stop")
        elif self.lame_duck.wanted(request):
            self.lame_duck.begin(request)
        else:
            self._descent.begin(request, deadline)
        return Verdict(True, "stopping")

    def _overtake(self, request: Request, under_way: Shutdown, deadline: Deadline) -> Verdict:
        self._vitals.deadline = deadline
        self._vitals.request = request
        self._house.watchdog.arm(deadline, 0)
        about = self._vitals.about("asked", request)
        log.info("received %s during restart; stopping instead", request.cause, extra=about)
        under_way.become_stop(request, deadline)
        self._pass_on()
        if self._vitals.phase is Phase.RESPAWNING:
            self._vitals.step("stop")
        return Verdict(True, "stopping instead of restarting")

    def _again(self, request: Request) -> Verdict:
        under_way = self._vitals.shutdown
        if not self._options.escalate:
            log.info("received %s during shutdown; ignoring", request.cause)
            stops = under_way is None or under_way.stops
            if not stops:
                self._vitals.stop_requested.clear()  # the next life must not take it for its own
            return Verdict(stops, "on its way down already")
        self._vitals.stops += 1
        self._pass_on()
        if self._vitals.stops >= 3:
            self.exit_at_once(request.cause)
        log.info("received %s again; skipping the rest of the drain", request.cause)
        self._hurry()
        return Verdict(True, "stopping; the rest of the drain is skipped")

    def _hurry(self) -> None:
        self._vitals.stops = max(2, self._vitals.stops)
        self.lame_duck.end()
        if self._vitals.shutdown:
            self._vitals.shutdown.hurry()

    def _pass_on(self) -> None:
        """A successor that was told to go may serve already: the stop is for it as well.

        One that waits for its turn would take our end for it, where that is forced or comes at once.
        """
        handing = self._vitals.handing
        if handing and handing.told_to_go:
            handing.forward(signal.SIGTERM)
        elif handing:
            handing.successor.end()
