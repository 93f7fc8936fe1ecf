"""Quiet: what is there is served, nothing new is taken, and it ends by itself.

asked for    while serving       while quiet           on the way down, starting, parked
quiet        quiet               a new limit           refused
resume       taken: it serves    serves again          refused

A stop or a restart ends it as well: the life that follows serves.  What waits in the kernel's queue
of a listener waits until then, and is served.
"""

from __future__ import annotations

import logging

from ..core.deadline import Deadline
from ..core.errors import QUIET
from ..core.plan import Action, Phase, Request, Verdict
from .house import House
from .vitals import Spell, Vitals

log = logging.getLogger("gatewaylock.gateway")


class Quieting:
    """SERVING to QUIET and back; on the loop's thread."""

    def __init__(self, house: House, vitals: Vitals) -> None:
        self._house, self._vitals = house, vitals

    def quiet(self, request: Request) -> Verdict:
        """Take no new work for ``request.limit`` seconds."""
        vitals = self._vitals
        if not vitals.up or vitals.handing:
            return self._not_now()
        vitals.spell = Spell(request, Deadline.after(request.limit))
        self._house.work.lanes.close(QUIET)
        fault = vitals.admission.want("pause")
        if vitals.phase is Phase.SERVING:
            vitals.step("quiet")
        log.info(
            "received %s; quiet for %g s", request.cause, request.limit, extra=vitals.about("asked", request)
        )
        text = f"quiet; it resumes by itself in {request.limit:g} s"
        return Verdict(True, f"{text}; {fault}" if fault else text)

    def resume(self, request: Request) -> Verdict:
        """Take work again."""
        vitals = self._vitals
        if not vitals.up or vitals.handing:
            return self._not_now()
        if vitals.phase is Phase.SERVING:
            return Verdict(True, "it was not quiet")
        vitals.spell = None
        fault = vitals.admission.want("resume")
        self._house.work.lanes.open()
        vitals.step("resume")
        log.info("received %s; serving again", request.cause, extra=vitals.about("asked", request))
        return Verdict(True, f"serving; {fault}" if fault else "serving")

    def overdue(self) -> Request | None:
        """What to do when its time is over."""
        spell = self._vitals.spell
        if spell is None or self._vitals.handing or not spell.deadline.passed():
            return None
        return Request(Action.RESUME, "the time limit of the quiet", spell.request.reason)

    def _not_now(self) -> Verdict:
        vitals = self._vitals
        what = "restarting" if vitals.handing else vitals.phase.value
        return Verdict.no(f"the gateway is {what}: only one that serves can be quiet")
