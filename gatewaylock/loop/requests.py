"""What the inbox says, and what comes of it.  Stop beats restart, and stops escalate.

asked for            while serving    while restarting       while stopping
stop                 drain, close     becomes the stop       2nd: no more drain; 3rd: exit now
restart (a signal)   needs a permit   ignored, permit kept   ignored, permit kept
restart (a person)   drain, close     joins it               refused
"""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import replace

from ..core.deadline import Deadline
from ..core.plan import Action, Mode, Phase, Request, Verdict
from ..system.image import Handoff
from ..system.proof import Proof
from ..system.successor import Word
from .handing import Handing
from .house import House
from .messages import Ask, Closed, Drained, Heard, OnTrial, Proved, Told
from .overlap import Overlap
from .parts import FRESH
from .proving import Proving, Warming
from .shutdown import Shutdown
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")


class Requests:
    """Handles one message after another, on the loop's thread."""

    def __init__(self, house: House, vitals: Vitals) -> None:
        self._house, self._vitals = house, vitals
        self._options = house.options
        self._overlap = Overlap(house, vitals, self._go_down, self.restart_again)

    def handle(self, message: object) -> None:
        """One message: a signal's number, or one of messages.py."""
        match message:
            case int(number):
                self._signalled(signal.Signals(number).name)
            case Ask(request, answer):
                answer(self._stop(request) if request.action is Action.STOP else self._restart(request))
            case Proved():
                self._proved(message)
            case Heard(handing, word):
                handing.hear(word)
                self._heard(handing)
            case OnTrial(handing):
                self._overlap.time_is_up(handing)
            case Told(word):
                self._told(word)
            case Drained():
                self._vitals.step("drained")
            case Closed(clean):
                self._closed(clean)

    def hear_stops(self) -> None:
        """The last look before a step that cannot be taken back: a stop that is here wins."""
        while self._vitals.phase is Phase.RESPAWNING:
            message = self._house.inbox.wait(Deadline.after(0))
            if message is None:
                return
            self.handle(message)

    def hear_stop_of_start(self) -> None:
        """``start()`` is back and a stop came meanwhile: find it in the inbox."""
        while self._vitals.phase is Phase.STARTING:
            self.handle(self._house.inbox.wait())

    def stop_soon(self) -> None:
        """From any thread: a stop is in the inbox.  A ``start()`` under way sees the event, and has until then."""
        vitals = self._vitals
        if vitals.phase is Phase.STARTING and not vitals.stop_requested.is_set():
            vitals.deadline = Deadline.after(self._options.limits.stop)
            self._house.watchdog.arm(vitals.deadline, 0)
        vitals.stop_requested.set()

    def exit_at_once(self, cause: str) -> None:
        """The third stop."""
        log.error("received %s a third time; exiting at once", cause)
        self._house.around.host.exit_now(130 if cause == "SIGINT" else 143)

    def _heard(self, handing: Handing) -> None:
        """A stop that reached the successor is one for both of us."""
        if handing.fault == "stopped" and handing is self._vitals.handing and self._vitals.stops == 0:
            self._stop(Request(Action.STOP, "stop of the successor"))
        else:
            self._overlap.heard(handing)

    def _told(self, word: Word) -> None:
        """The process that we succeed leaves us a restart to do, or is gone: then it is time for it."""
        if word.say == "end":
            self._stop(Request(Action.STOP, "the process before us"))
        elif word.say == "again":
            self._vitals.again.append(Request(Action.RESTART, "late restart request", word.error))
        elif self._vitals.channel:
            self._vitals.channel.close()
            self._vitals.channel = None
            self.restart_again()

    def restart_again(self) -> None:
        """However many restarts were asked for too late for the one that is over: they become one more."""
        vitals = self._vitals
        if vitals.again and not vitals.busy and vitals.channel is None:
            last, reasons = vitals.again[-1], [request.reason for request in vitals.again if request.reason]
            vitals.again.clear()
            self._restart(replace(last, reason="; ".join(reasons)[:1000]))

    # -- stop --------------------------------------------------------------------------------------

    def _signalled(self, name: str) -> None:
        log.info("signal %s received", name)
        restarts = self._house.work.restarts
        if name != "SIGUSR1":
            self._stop(Request(Action.STOP, name))
        elif self._vitals.busy:
            log.info("received %s during shutdown; ignoring", name)  # and no permit is used up
        elif restarts.consume() or restarts.external_allowed:
            self._restart(Request(Action.RESTART, name))
        else:
            why = "not authorized; use `gateway restart`, a permit, or --allow-sigusr1"
            log.warning("SIGUSR1 restart ignored (%s)", why)

    def _stop(self, request: Request) -> Verdict:
        vitals = self._vitals
        if vitals.shutdown and (vitals.shutdown.stops or not self._options.escalate):
            return self._stop_again(request, vitals.shutdown)
        vitals.stops = 1
        vitals.stop_requested.set()
        vitals.reason, vitals.farewell = _why(request), ("stopped", Action.STOP)
        deadline = min(Deadline.after(self._options.limits.stop), vitals.deadline)
        if vitals.shutdown:
            return self._overtake(request, vitals.shutdown, deadline)
        log.info("received %s; shutting down", request.cause)
        _log_reason(request)
        self._pass_on_stop()
        if vitals.phase in (Phase.PARKED, Phase.RESPAWNING):
            self._house.watchdog.arm(deadline, 0)
            self._cancel_proving()
            vitals.step("stop")
        else:
            self._go_down(request, deadline)
        return Verdict(True, "stopping")

    def _overtake(self, request: Request, under_way: Shutdown, deadline: Deadline) -> Verdict:
        log.info("received %s during restart; stopping instead", request.cause)
        self._vitals.deadline = deadline
        self._vitals.request = request
        self._house.watchdog.arm(deadline, 0)
        under_way.become_stop(request, deadline)
        self._pass_on_stop()
        if self._vitals.phase is Phase.RESPAWNING:
            self._vitals.step("stop")
        return Verdict(True, "stopping instead of restarting")

    def _stop_again(self, request: Request, under_way: Shutdown) -> Verdict:
        if not self._options.escalate:
            log.info("received %s during shutdown; ignoring", request.cause)
            if not under_way.stops:
                self._vitals.stop_requested.clear()  # the next life must not take it for its own
            return Verdict(under_way.stops, "on its way down already")
        self._vitals.stops += 1
        if self._vitals.stops >= 3:
            self.exit_at_once(request.cause)
        log.info("received %s again; skipping the rest of the drain", request.cause)
        under_way.hurry()
        self._pass_on_stop()
        return Verdict(True, "stopping; the rest of the drain is skipped")

    def _pass_on_stop(self) -> None:
        """A successor that was told to go may serve already: the stop is for it as well."""
        handing = self._vitals.handing
        if handing and handing.told_to_go:
            handing.forward(signal.SIGTERM)

    # -- restart -----------------------------------------------------------------------------------

    def _restart(self, request: Request) -> Verdict:
        vitals = self._vitals
        if (vitals.handing or vitals.channel) and vitals.stops == 0:
            log.info("received %s during restart; one more follows", request.cause)
            vitals.again.append(request)
            return Verdict(
                True, "a restart is under way whose version is loaded already; one more follows it"
            )
        if vitals.busy:
            log.info("received %s during shutdown; ignoring", request.cause)
            if vitals.proving or (vitals.shutdown and not vitals.shutdown.stops):
                return Verdict(True, "a restart is under way; this one joins it")
            return Verdict(False, "the gateway is stopping")
        log.info("received %s; restarting", request.cause)
        _log_reason(request)
        vitals.accepted = time.monotonic()
        mode = self._options.mode_for(request)
        if mode is Mode.IN_PROCESS or (request.force and mode not in FRESH):
            self._restart_now(request)
        else:
            self._prove(request, mode)
        return Verdict(True, "restarting")

    def _prove(self, request: Request, mode: Mode) -> None:
        around = self._house.around
        proof: Proof | Warming
        if mode in FRESH and self._vitals.phase is Phase.SERVING:
            proof = Warming(around, self._leave_to_successor)
        else:
            proof = Proof(around.host, around.line)
        self._vitals.proving = Proving(request, proof, self._options.limits.preflight, self._house.inbox.post)
        self._vitals.proving.start()

    def _leave_to_successor(self, channel: int, blocked: tuple[int, ...]) -> Handoff:
        """It proves its copy of the lock on the file that the others see: somebody may have deleted ours."""
        self._house.ensure_lock()
        due = Deadline.after(self._options.limits.preflight + 1)  # of its own; we end it before that
        return self._house.handoff(self._vitals, blocked, due, channel)

    def _proved(self, proved: Proved) -> None:
        vitals = self._vitals
        if vitals.proving is None or proved.request is not vitals.proving.request:
            return  # of a restart that a stop has overtaken
        proof, vitals.proving = vitals.proving.proof, None
        if not proved.fault:
            if isinstance(proof, Warming):
                vitals.handing = Handing(self._house, vitals, proof.successor)
            self._restart_now(proved.request)
            return
        self._house.work.restarts.settled()
        vitals.accepted = None
        state = "still serves" if vitals.phase is Phase.SERVING else "stays parked"
        log.error("restart refused, this gateway %s: the next version %s", state, proved.fault)
        self._house.announce(
            vitals.outcome(f"restart refused: the next version {proved.fault}", self._house.pid)
        )

    def _restart_now(self, request: Request) -> None:
        limits = self._options.limits
        self._vitals.reason = _why(request)
        if self._vitals.phase is Phase.PARKED:
            self._vitals.request = request
            self._vitals.step("restart")
        elif self._overlaps(request) and self._vitals.handing:
            self._overlap.begin(request, self._vitals.handing)
        else:
            self._go_down(request, Deadline.after(limits.drain + limits.shutdown))

    def _overlaps(self, request: Request) -> bool:
        if self._options.mode_for(request) is not Mode.OVERLAP:
            return False
        if not self._overlap.possible():
            log.warning("no overlap: the server has no pause() and resume(); it is closed first")
            return False
        return True

    # -- down --------------------------------------------------------------------------------------

    def _go_down(self, request: Request, deadline: Deadline) -> None:
        """Close the admission and send the shutdown thread on its way."""
        vitals = self._vitals
        self._cancel_proving()
        stops = request.action is Action.STOP
        vitals.deadline, vitals.request = deadline, request
        self._house.watchdog.arm(deadline, 0 if stops else 1)
        self._house.work.lanes.close()
        vitals.step(request.action.value)
        vitals.shutdown = Shutdown(
            request,
            self._options.limits,
            deadline=deadline,
            server=vitals.server,
            work=self._house.work,
            keeps_work=not stops and self._options.mode_for(request) is Mode.IN_PROCESS,
            post=self._house.inbox.post,
        )
        vitals.shutdown.start()

    def _closed(self, clean: bool) -> None:
        vitals = self._vitals
        assert vitals.shutdown is not None
        vitals.server, vitals.serving_since, vitals.clean = None, None, clean
        vitals.step("stopped" if vitals.shutdown.stops else "closed")

    def _cancel_proving(self) -> None:
        if self._vitals.proving:
            self._vitals.proving.cancel()
            self._vitals.proving = None


def _log_reason(request: Request) -> None:
    if request.reason:
        log.info("reason given: %r", request.reason)


def _why(request: Request) -> str:
    return f"{request.cause}: {request.reason}" if request.reason else request.cause
