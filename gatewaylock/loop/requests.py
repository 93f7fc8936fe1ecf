"""What the inbox says, and whose it is: one message after another, on the loop's thread."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from dataclasses import asdict

from ..core.deadline import Deadline
from ..core.plan import Action, Phase, Request, Verdict
from ..core.tried import tried
from ..system.inbox import Meaning
from ..system.successor import Word
from . import late
from .cancelling import Cancelling
from .descent import Descent
from .handing import Handing
from .house import House
from .messages import (
    Ask,
    Beat,
    Cancelled,
    Closed,
    Drained,
    Heard,
    Impatient,
    LameDuckOver,
    Proved,
    Told,
)
from .quieting import Quieting
from .restarting import Restarting
from .stopping import Stopping
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")


class Requests:
    """Signals, requests, and what threads and other processes of ours say."""

    def __init__(self, house: House, vitals: Vitals) -> None:
        self._house, self._vitals = house, vitals
        self._descent = Descent(house, vitals)
        self.stopping = Stopping(house, vitals, self._descent)
        self.restarting = Restarting(house, vitals, self._descent)
        self._quieting, self._cancelling = Quieting(house, vitals), Cancelling(house, vitals)

    def handle(self, message: object) -> None:
        """One message.  One that fails makes no later one fail; of a stop the watchdog sees the end."""
        try:
            self._handle(message)
        except Exception:
            log.exception("the gateway goes on after %r has failed", message)
            if isinstance(message, Ask):
                _answer(message.answer, Verdict.no("this request failed; the gateway's log says why"))

    def _handle(self, message: object) -> None:
        """A signal's number, or one of messages.py."""
        match message:
            case int(number):
                self._signalled(signal.Signals(number))
            case Ask(request, answer):
                self._asked(request, answer)
            case Cancelled(request, verdict, answer):
                self._decided(request, verdict)
                _answer(answer, verdict)
            case None:
                self._overdue()
            case Proved():
                self.restarting.proved(message)
            case Heard(handing, word):
                handing.hear(word)
                self._heard(handing)
            case Told(word):
                self._told(word)
            case LameDuckOver():
                self.stopping.lame_duck.end()
            case Drained(report):
                self._vitals.left = report.left
                self._vitals.accounts.waited(report)
                self._vitals.step("drained")
            case Closed(clean):
                self._descent.closed(clean)
            case Beat(seen):
                seen()
            case Impatient(deadline):
                self.stopping.hasten(deadline)

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

    def _asked(self, request: Request, answer: Callable[[Verdict], object] = lambda verdict: None) -> None:
        match request.action:
            case Action.STOP:
                verdict = self.stopping.stop(request)
            case Action.RESTART:
                verdict = self.restarting.restart(request)
            case Action.QUIET:
                verdict = self._quieting.quiet(request)
            case Action.RESUME:
                verdict = self._quieting.resume(request)
            case Action.CANCEL:
                self._cancelling.begin(request, answer)
                return
        self._decided(request, verdict)
        _answer(answer, verdict)

    def _decided(self, request: Request, verdict: Verdict) -> None:
        self._vitals.tell(
            "asked",
            action=request.action.value,
            cause=request.cause,
            peer=request.peer and asdict(request.peer),
            reason=request.reason,
            ok=verdict.ok,
            text=verdict.text,
            error=verdict.error,
        )

    def _overdue(self) -> None:
        """Nobody said anything, but a time limit has passed (see ``Vitals.wake``)."""
        handing, proving = self._vitals.handing, self._vitals.proving
        if handing and self._vitals.up and handing.due.passed():
            self.restarting.overlap.time_is_up(handing)
        elif proving and proving.due.passed():
            self.restarting.proved(Proved(proving.request, "could not be tried in time"))
            tried(proving.cancel)
        elif request := self._quieting.overdue():
            self._asked(request)

    def _signalled(self, number: signal.Signals) -> None:
        meaning = self._house.meaning(number)
        if meaning is Meaning.STOP:
            self.stopping.brace()
        log.info("signal %s received", number.name)
        if meaning is Meaning.STOP and self.stopping.ignores():
            self.stopping.stop(
                Request(Action.STOP, number.name)
            )  # no event: thousands may come, and do nothing
        elif meaning is Meaning.STOP:
            self._asked(Request(Action.STOP, number.name))
        elif self._vitals.busy:
            log.info("received %s during shutdown; ignoring", number.name)  # and no permit is used up
            if meaning is Meaning.RELOAD:
                self._house.watcher.reload_joins()
        elif self._permitted(meaning):
            self._asked(Request(Action.RESTART, number.name))
        else:
            why = "not authorized; use `gateway restart`, a permit, or --allow-sigusr1"
            log.warning("%s restart ignored (%s)", number.name, why)
            self._decided(Request(Action.RESTART, number.name), Verdict.no(f"ignored: {why}", "permit"))

    def _permitted(self, meaning: Meaning) -> bool:
        restarts = self._house.work.restarts
        return meaning is Meaning.RELOAD or restarts.consume() or restarts.external_allowed

    def _heard(self, handing: Handing) -> None:
        """A stop that reached the successor is one for both of us."""
        if handing.fault == "stopped" and handing is self._vitals.handing and self._vitals.stops == 0:
            request = Request(Action.STOP, "stop of the successor")
            self._decided(request, self.stopping.stop(request, accepted=True))
        else:
            self.restarting.overlap.heard(handing)

    def _told(self, word: Word) -> None:
        """The process that we succeed leaves us a restart to do, or is gone: then it is time for it."""
        if word.say == "end":
            self._asked(Request(Action.STOP, "the process before us"))
        elif word.say == "again":
            self._vitals.again.append(late.heard(word.error))
        elif self._vitals.channel:
            self._vitals.alone()
            self.restarting.again()


def _answer(answer: Callable[[Verdict], object], verdict: Verdict) -> None:
    """Once, whatever it raises: what was asked for is under way, or refused, all the same."""
    try:
        answer(verdict)
    except Exception:
        log.exception("nobody took the answer %r", verdict.text)
