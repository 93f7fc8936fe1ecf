"""How the next life begins: a fresh image, whoever supervises us, or this image again."""

from __future__ import annotations

import logging
import signal

from ..core.deadline import Deadline
from ..core.ends import delay_before
from ..core.plan import Action, Mode, Phase
from ..core.tried import tried
from ..system import image
from .callbacks import LAST_WORD
from .handing import Handing
from .house import House
from .requests import Requests
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")

#: seconds that whoever watches us gets to take note of a fresh pid
INTRODUCED = 5.0
UNCLEAN = "the server did not close cleanly: only a fresh process image may follow"


class Respawn:
    """Turns RESPAWNING into STARTING or EXITED, or the process into its next image."""

    def __init__(self, house: House, vitals: Vitals, requests: Requests) -> None:
        self._house, self._vitals, self._requests = house, vitals, requests

    def go(self) -> None:
        """One way, by the mode of the request; a stop that has come meanwhile wins."""
        self._requests.hear_stops()
        if self._vitals.phase is not Phase.RESPAWNING:
            return
        match self._mode():
            case Mode.SUPERVISOR:
                log.info("restart mode: full process restart (supervisor restart)")
                text = "it has left for its supervisor to start it again"
                self._leave(self._house.options.restart_exit_code, text, Action.RESTART)
            case Mode.EXEC:
                self._exec()
            case Mode.SPAWN | Mode.OVERLAP:
                self._hand_over()
            case Mode.IN_PROCESS:
                request = self._vitals.request
                why = "asked for" if request and request.mode else self._house.options.mode_why
                log.info("restart mode: in-process restart (%s)", why)
                self._again()

    def _mode(self) -> Mode:
        request = self._vitals.request
        mode = self._house.options.mode_for(request) if request else self._house.options.restart_mode
        if mode is Mode.IN_PROCESS and not self._vitals.clean:
            log.warning(UNCLEAN)
            return Mode.EXEC
        return mode

    def _hand_over(self) -> None:
        """Our successor is warm, or (overlap) serves already; from here on it is the gateway or we are."""
        handing = self._vitals.handing
        if handing is None:  # forced, without a proof: nobody is warm
            self._exec()
            return
        limit = self._house.options.limits.start
        deadline = Deadline.after(limit)
        if not handing.ready:
            self._house.watchdog.arm(Deadline.after(2 * limit), 1)
            handing.go()
        while self._vitals.phase is Phase.RESPAWNING and not (handing.ready or handing.fault):
            message = self._house.inbox.wait(deadline)
            if message is None:
                handing.fault = f"the successor did not start within {limit:g} s"
            else:
                self._requests.handle(message)
        if handing.fault and self._vitals.phase is Phase.RESPAWNING:
            self._take_back(handing)
        elif self._vitals.phase is Phase.RESPAWNING:
            self._leave_to(handing)

    def _take_back(self, handing: Handing) -> None:
        """It has failed: our next life is in this image, or in a fresh one where the last left it half closed."""
        handing.take_back()
        if self._vitals.clean:
            self._again()
        else:
            log.warning(UNCLEAN)
            self._exec()

    def _leave_to(self, handing: Handing) -> None:
        """It serves.  A stop that came for us until now is for both of us, one that comes later for it."""
        host = self._house.around.host
        blocked = image.block_signals(host)
        # Before the last look: a stop may come while we wait for the answer.
        gone, known = Deadline.after(2 * INTRODUCED), Deadline.after(INTRODUCED)
        self._house.watchdog.arm(gone, 1)
        handing.fault = self._house.watcher.introduce(handing.successor.pid, known, gone)
        self._requests.hear_stops()
        if handing.fault and self._vitals.phase is Phase.RESPAWNING:
            image.unblock_signals(host, blocked)
            self._take_back(handing)
            return
        if self._vitals.phase is Phase.RESPAWNING:
            tried(self._forward_pending, handing)
            handing.leave()
        image.unblock_signals(host, blocked)

    def _forward_pending(self, handing: Handing) -> None:
        for number in signal.sigpending() & set(self._house.stops()):
            handing.forward(number)

    def _exec(self) -> None:
        if not self._have_lock():
            return
        host = self._house.around.host
        self._vitals.callbacks.settle(Deadline.after(LAST_WORD))
        self._house.hush()  # before the last look: a stop that comes meanwhile is heard
        blocked = image.block_signals(host)
        self._requests.hear_stops()
        if self._vitals.phase is not Phase.RESPAWNING:
            image.unblock_signals(host, blocked)
            return
        log.info("restart mode: full process restart (exec, pid %d stays)", self._house.pid)
        deadline = Deadline.after(self._house.options.limits.start)
        self._house.watcher.before_exec(deadline)
        handoff = self._house.handoff(self._vitals, blocked, deadline)
        failure = image.execute(host, self._house.around.line, handoff)
        image.unblock_signals(host, blocked)
        log.warning("full process restart failed (%s); falling back to in-process restart", failure)
        self._again()

    def _again(self) -> None:
        if not self._vitals.clean:
            log.error("the server did not close cleanly and no fresh image can be had; exiting")
            self._leave(1, "the server did not close cleanly and no fresh image could be had")
            return
        self._rest()
        if self._vitals.phase is Phase.RESPAWNING and self._have_lock():
            self._vitals.step("again")
            self._vitals.shutdown = None

    def _rest(self) -> None:
        """Starts that die young, one after the other, would burn a processor; a stop is heard meanwhile.

        A life that has served is followed at once, whatever died before it: clients wait for the next one.
        """
        vitals, deaths = self._vitals, self._house.young_deaths()
        seconds = delay_before(deaths, self._house.options.limits.backoff)
        if not seconds or vitals.shutdown or (vitals.request and vitals.request.force):
            return
        log.error("%d starts have died young within five minutes; the next try is in %g s", deaths, seconds)
        self._house.watchdog.disarm()  # nothing is left that could hang
        until = Deadline.after(seconds)
        while vitals.phase is Phase.RESPAWNING and (message := self._house.inbox.wait(until)) is not None:
            self._requests.handle(message)

    def _have_lock(self) -> bool:
        """Whether the name is ours for the next life too.  A parked gateway has to win it again."""
        try:
            self._house.ensure_lock()
        except Exception as error:
            log.error("failed to reacquire gateway lock for in-process restart: %s", error)
            self._leave(1, f"failed to reacquire gateway lock: {error}")
            return False
        return True

    def _leave(self, code: int, farewell: str, done: Action | None = None) -> None:
        self._vitals.code, self._vitals.farewell = code, (farewell, done)
        self._vitals.step("leave")
