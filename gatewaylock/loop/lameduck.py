"""A stop is known, and new work is still taken for a while: load balancers learn of it late."""

from __future__ import annotations

import logging
import threading

from ..core.deadline import Deadline
from ..core.plan import Phase, Request
from .descent import Descent
from .house import House
from .messages import LameDuckOver
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")


class LameDuck:
    """SERVING to LAME_DUCK, and on to DRAINING when its time is over or somebody hurries."""

    def __init__(self, house: House, vitals: Vitals, descent: Descent) -> None:
        self._house, self._vitals, self._descent = house, vitals, descent
        self._options = house.options  # and not its limits: a supervisor that answers late cuts them

    def wanted(self, request: Request) -> bool:
        """Whether *request*, a stop, is to have one.  Not beside a successor: it has the admission already."""
        vitals = self._vitals
        serving = vitals.phase is Phase.SERVING and not (vitals.handing and vitals.handing.told_to_go)
        return serving and self._options.limits.lame_duck > 0 and not request.force

    def begin(self, request: Request) -> None:
        """Readiness fails from now on."""
        vitals, limits = self._vitals, self._options.limits
        seconds = limits.lame_duck
        vitals.request = request
        vitals.deadline = Deadline.after(seconds + limits.stop)
        self._house.watchdog.arm(vitals.deadline, 0)
        self._descent.cancel_proving()
        vitals.step("farewell")
        log.info("not ready any more; new work is still taken for %g s", seconds)
        timer = threading.Timer(seconds, self._house.inbox.post, (LameDuckOver(),))
        timer.name, timer.daemon = "gatewaylock-lame-duck", True
        try:
            timer.start()
        except RuntimeError as error:
            log.warning("no lame duck: %s", error)
            self.end()

    def end(self) -> None:
        """Its time is over, or the second stop has come: drain."""
        vitals = self._vitals
        if vitals.phase is Phase.LAME_DUCK and vitals.request:
            self._descent.begin(
                vitals.request, min(vitals.deadline, Deadline.after(self._options.limits.stop))
            )
