"""The way down from a life: admission closed, the shutdown thread on its way, until it says that it is over."""

from __future__ import annotations

from ..core.deadline import Deadline
from ..core.plan import Action, Mode, Request
from .house import House
from .shutdown import Shutdown
from .vitals import Vitals


class Descent:
    """SERVING to DRAINING, and CLOSING to what comes next."""

    def __init__(self, house: House, vitals: Vitals) -> None:
        self._house, self._vitals = house, vitals

    def begin(self, request: Request, deadline: Deadline) -> None:
        """Close the admission and send the shutdown thread on its way."""
        vitals, options = self._vitals, self._house.options
        self.cancel_proving()
        stops = request.action is Action.STOP
        vitals.deadline, vitals.request, vitals.spell = deadline, request, None
        self._house.watchdog.arm(deadline, 0 if stops else 1)
        self._house.work.lanes.close()
        vitals.step(request.action.value)
        vitals.shutdown = Shutdown(
            request,
            options,
            deadline=deadline,
            server=vitals.server,
            work=self._house.work,
            keeps_work=not stops and options.mode_for(request) is Mode.IN_PROCESS,
            post=self._house.inbox.post,
        )
        vitals.shutdown.start()

    def closed(self, clean: bool) -> None:
        """The server has ended; *clean* when it said so itself."""
        vitals = self._vitals
        assert vitals.shutdown is not None
        vitals.server, vitals.serving_since, vitals.clean = None, None, clean
        vitals.step("stopped" if vitals.shutdown.stops else "closed")

    def cancel_proving(self) -> None:
        """Nobody needs to know any more whether the next version loads."""
        if self._vitals.proving:
            self._vitals.proving.cancel()
            self._vitals.proving = None
