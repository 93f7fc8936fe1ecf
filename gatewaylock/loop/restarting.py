"""A restart that was asked for: proved first, then the way down; late ones become one more.

asked for            while serving    while restarting       while stopping
restart (a signal)   needs a permit   ignored, permit kept   ignored, permit kept
restart (a person)   drain, close     joins it, or one more  refused

One more where a successor loads, or has loaded, its version: what is asked for now may not be in it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial

from ..core.deadline import Deadline
from ..core.plan import Action, Mode, Phase, Request, Verdict
from ..system.image import Handoff
from ..system.proof import Proof
from .descent import Descent
from .handing import Handing
from .house import House
from .messages import Proved
from .overlap import Overlap
from .parts import FRESH
from .proving import Proving, Warming
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")


class Restarting:
    """Every restart, by whomever; on the loop's thread."""

    def __init__(self, house: House, vitals: Vitals, descent: Descent) -> None:
        self._house, self._vitals, self._descent = house, vitals, descent
        self._options = house.options
        self.overlap = Overlap(house, vitals, descent.begin, self.again)

    def restart(self, request: Request) -> Verdict:
        """A restart that was asked for; what is said to it."""
        vitals = self._vitals
        if self._too_late() and vitals.stops == 0:
            log.info("received %s during restart; one more follows", request.cause)
            vitals.again.append(request)
            return Verdict(
                True, "a restart is under way whose version may be loaded already; one more follows it"
            )
        if vitals.busy:
            log.info("received %s during shutdown; ignoring", request.cause)
            if vitals.proving or (vitals.request and vitals.request.action is Action.RESTART):
                return Verdict(True, "a restart is under way; this one joins it")
            return Verdict.no("the gateway is stopping")
        log.info("received %s; restarting", request.cause, extra=vitals.about("asked", request))
        if request.reason:
            log.info("reason given: %r", request.reason)
        vitals.accepted = time.monotonic()
        mode = self._options.mode_for(request)
        said = "restarting"
        if request.mode and mode is not request.mode:  # the gateway's own mode was told of at its start
            said = (
                f"restarting by exec: no {request.mode.value} here ({self._options.why_exec(request.mode)})"
            )
            log.warning("%s", said)
        vitals.begin(request, mode.value)
        if mode is Mode.IN_PROCESS or (request.force and mode not in FRESH):
            self._restart_now(request)
        else:
            self._prove(request, mode)
        return Verdict(True, said)

    def _too_late(self) -> bool:
        """Whether the restart under way has taken its version, or may have."""
        vitals = self._vitals
        loads = vitals.proving is not None and isinstance(vitals.proving.proof, Warming)
        return bool(loads or vitals.handing or vitals.channel)

    def again(self) -> None:
        """However many restarts were asked for too late for the one that is over: they become one more."""
        vitals = self._vitals
        if vitals.again and not vitals.busy and vitals.channel is None:
            last, reasons = vitals.again[-1], [request.reason for request in vitals.again if request.reason]
            vitals.again.clear()
            self.restart(replace(last, reason="; ".join(reasons)[:1000]))

    def proved(self, proved: Proved) -> None:
        """The next version was tried."""
        vitals = self._vitals
        if vitals.proving is None or proved.request is not vitals.proving.request:
            return  # of a restart that a stop has overtaken
        proof, vitals.proving = vitals.proving.proof, None
        fault = proved.fault or self._take_hold(proof)
        if not fault:
            self._restart_now(proved.request)
            return
        self._house.work.restarts.settled()
        vitals.accepted = None
        state = "still serves" if vitals.up else "stays parked"
        text, about = (
            "restart refused, this gateway %s: the next version %s",
            vitals.about("refused", proved.request),
        )
        log.error(text, state, fault, extra=about)
        self._house.announce(vitals.outcome(f"restart refused: the next version {fault}", self._house.pid))
        self.again()

    def _take_hold(self, proof: object) -> str:
        """Listen to the successor, where there is one; why that cannot be, else empty."""
        if isinstance(proof, Warming):
            try:
                self._vitals.handing = Handing(self._house, self._vitals, proof.successor)
            except RuntimeError as error:
                proof.cancel()
                return f"cannot be listened to: {error}"
        return ""

    def _prove(self, request: Request, mode: Mode) -> None:
        around = self._house.around
        proof: Proof | Warming
        if mode in FRESH and self._vitals.up:
            proof = Warming(around, partial(self._leave_to_successor, request))
        else:
            proof = Proof(around.host, around.line)
        self._vitals.proving = Proving(request, proof, self._options.limits.preflight, self._house.inbox.post)
        self._vitals.proving.start()

    def _leave_to_successor(self, request: Request, channel: int, blocked: tuple[int, ...]) -> Handoff:
        """It proves its copy of the lock on the file that the others see: somebody may have deleted ours."""
        self._house.ensure_lock()
        due = Deadline.after(self._options.limits.preflight + 1)  # of its own; we end it before that
        return replace(self._house.handoff(self._vitals, blocked, due, channel), cause=request.why())

    def _restart_now(self, request: Request) -> None:
        limits = self._options.limits
        self._vitals.reason = request.why()
        if self._vitals.phase is Phase.PARKED:
            self._vitals.request = request
            self._vitals.step("restart")
        elif self._overlaps(request) and self._vitals.handing:
            self.overlap.begin(request, self._vitals.handing)
        else:
            self._descent.begin(request, Deadline.after(limits.drain + limits.shutdown))

    def _overlaps(self, request: Request) -> bool:
        if self._options.mode_for(request) is not Mode.OVERLAP:
            return False
        if not self.overlap.possible():
            log.warning("no overlap: the server has no pause() and resume(); it is closed first")
            return False
        return True
