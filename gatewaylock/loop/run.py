"""The turns from phase to phase, and the way out."""

from __future__ import annotations

import signal
from contextlib import ExitStack

from ..core.deadline import Deadline
from ..core.errors import GatewayError
from ..core.plan import Action, Phase
from ..core.tried import tried
from ..system import image
from ..system.image import Handoff
from ..system.leftover import wait_for_left_over
from ..system.reaper import Reaper
from ..system.successor import Channel
from .birth import Birth
from .house import House
from .requests import Requests
from .respawn import Respawn
from .scribe import Scribe
from .succeeding import Succeeding
from .vitals import Vitals


class Run:
    """All lives of one gateway, on the thread that calls ``run``."""

    def __init__(self, house: House, vitals: Vitals, requests: Requests, birth: Birth) -> None:
        self._house, self._vitals, self._requests, self._birth = house, vitals, requests, birth
        self._respawn = Respawn(house, vitals, requests)

    def run(self, *, signals: bool, exits: bool) -> int:
        """The exit code; raises what kept the first life from beginning."""
        inherited = self._vitals.inherited
        if inherited and inherited.channel >= 0:
            self._vitals.channel = Channel.inherited(inherited.channel)
        with ExitStack() as leave:
            leave.enter_context(Scribe().speaks())
            options = self._house.options
            options.watched.begin(options.restart_mode)
            self._have_herald(leave, exits)
            leave.callback(self._leave, exits)
            leave.push(self._raised)
            self._house.take_lock(inherited)
            self._house.open_diary(self._vitals)
            if signals:
                leave.enter_context(Reaper(self._house.around.host).at_work())
                leave.enter_context(self._house.inbox.borrowed())
                leave.callback(self._keep_watch, exits)
            if inherited:
                self._take_over(inherited)
            if self._vitals.channel:
                Succeeding(self._house, self._vitals, self._vitals.channel).wait()
            while self._vitals.phase is not Phase.EXITED:
                self._turn()
                self._house.watchdog.renew()
        return self._vitals.code

    def _have_herald(self, leave: ExitStack, exits: bool) -> None:
        if self._house.around.manager:
            from .herald import Herald  # only where somebody listens

            leave.enter_context(Herald(self._house, self._vitals, self._requests.stopping, exits=exits))

    def _raised(self, kind: object, error: BaseException | None, trace: object) -> None:
        """What those hear who wait for us, and the one whom we were to succeed."""
        if error is not None and self._vitals.phase is not Phase.EXITED:
            text = str(error) if isinstance(error, GatewayError) else f"the gateway has ended: {error!r}"
            self._vitals.farewell = (text, None)

    def _turn(self) -> None:
        match self._vitals.phase:
            case Phase.STARTING:
                self._birth.begin()
            case Phase.RESPAWNING:
                self._respawn.go()
            case _:
                self._requests.handle(self._house.inbox.wait(self._vitals.wake))

    def _take_over(self, handoff: Handoff) -> None:
        """After an exec: our watchdog before the alarm ends, our handlers before the signals come."""
        self._house.watchdog.arm(Deadline(handoff.deadline), 1)
        self._house.around.host.alarm(signal.ITIMER_REAL, 0)
        image.unblock_signals(self._house.around.host, handoff.unblock)
        if handoff.channel < 0:
            wait_for_left_over(self._house.around.host, handoff.left_at)

    def _keep_watch(self, exits: bool) -> None:
        """A late signal must not turn a finished run into a death, nor be in vain where something refuses to end."""
        if exits and self._finished:
            self._requests.stopping.watch_the_end()

    @property
    def _finished(self) -> bool:
        return self._vitals.phase is Phase.EXITED and not self._vitals.broken

    def _leave(self, exits: bool) -> None:
        vitals, house = self._vitals, self._house
        ends = self._finished and exits
        if ends and not house.watchdog.armed:
            house.watchdog.arm(Deadline.after(house.options.limits.shutdown), vitals.code)
        if vitals.phase is not Phase.EXITED:
            vitals.leave_phase(Phase.EXITED, "broken")
        if vitals.proving:
            tried(vitals.proving.cancel)
        tried(self._leave_the_other)
        text, done = vitals.farewell
        left = vitals.left or house.work.live()
        house.work.end()
        outcome = vitals.outcome(text, house.pid, done)
        vitals.tell("end", code=vitals.code, text=outcome.text, left=left)
        house.leave(outcome, handed_over=vitals.handed_over or vitals.channel is not None)
        if not ends:
            # Raised: the caller decides what comes next.  Else the deadline stands until we are gone.
            house.watchdog.disarm()

    def _leave_the_other(self) -> None:
        """The process that succeeds us, or that we were to succeed."""
        vitals, (text, done) = self._vitals, self._vitals.farewell
        if vitals.handing:
            vitals.handing.successor.close() if vitals.handed_over else vitals.handing.end(vitals.deadline)
        if vitals.channel:
            self._house.hush()  # who has asked our annex hears from it before the other side ends us
            vitals.channel.say("stopped" if done is Action.STOP else "failed", text)
            vitals.channel.close()
