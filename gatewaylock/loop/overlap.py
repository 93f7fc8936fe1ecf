"""Overlap: the next life begins before this one ends.

pause ----> go ----> ready ----> on trial ----> drain, close, leave
  |          |          |            |
  +-- resume <----------+------------+  the successor failed: nothing had ended here
"""

from __future__ import annotations

from collections.abc import Callable

from ..core.deadline import NEVER, Deadline
from ..core.errors import QUIET
from ..core.plan import Action, Phase, Request
from .handing import Handing
from .house import House
from .vitals import Vitals


class Overlap:
    """Admission passes at one instant: we accept nothing more, then the successor is told to go."""

    def __init__(
        self,
        house: House,
        vitals: Vitals,
        go_down: Callable[[Request, Deadline], None],
        again: Callable[[], None],
    ) -> None:
        self._house, self._vitals, self._go_down, self._again = house, vitals, go_down, again

    def possible(self) -> bool:
        """Whether the server can be told to accept no more, and to accept again."""
        server = self._vitals.server
        return all(callable(getattr(server, name, None)) for name in ("pause", "resume"))

    def begin(self, request: Request, handing: Handing) -> None:
        """Pass the admission on."""
        self._vitals.request = request
        # In this order, and back in the other: who is refused work here is told to leave as well.
        self._vitals.admission.want("pause")
        self._house.work.lanes.close()
        handing.go()
        handing.due = Deadline.after(self._house.options.limits.start)
        if handing.fault:
            self._take_back(handing)

    def heard(self, handing: Handing) -> None:
        """It said something while we wait for it."""
        if handing is not self._vitals.handing or not self._vitals.up:
            return
        if handing.fault:
            self._take_back(handing)
        elif handing.ready and not handing.on_trial:
            handing.on_trial = True
            handing.due = Deadline.after(self._house.options.probation)

    def time_is_up(self, handing: Handing) -> None:
        """Of its start, or of its probation."""
        handing.due = NEVER
        if not handing.ready:
            handing.fault = f"the successor did not start within {self._house.options.limits.start:g} s"
            self._take_back(handing)
        elif handing.on_trial:
            self._succeed(handing)

    def _succeed(self, handing: Handing) -> None:
        vitals, limits = self._vitals, self._house.options.limits
        text = f"life {vitals.life + 1} serves (pid {handing.successor.pid}){vitals.took()}"
        text += "; one more restart follows" if vitals.again else ""
        self._house.announce(vitals.outcome(text, handing.successor.pid, Action.RESTART))
        assert vitals.request is not None
        self._go_down(vitals.request, Deadline.after(limits.drain + limits.shutdown))

    def _take_back(self, handing: Handing) -> None:
        """The successor has failed, and nothing has ended here: we accept again."""
        vitals = self._vitals
        handing.take_back()
        if vitals.phase is Phase.SERVING:
            self._house.work.lanes.open()
            vitals.admission.want("resume")
        else:  # it was quiet, and stays so until that is over
            self._house.work.lanes.close(QUIET)
        self._house.work.restarts.settled()
        vitals.setback, vitals.request, vitals.accepted, vitals.reason = "", None, None, ""
        text = f"restart failed: {handing.fault}; life {vitals.life} still serves"
        self._house.announce(vitals.outcome(text, self._house.pid))
        self._again()
