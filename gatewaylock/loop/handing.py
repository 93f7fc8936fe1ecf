"""The hand-over to a successor, from "go" to the moment when one of the two is alone.

    spawn      we have drained and closed; go; ready: we leave
    overlap    we accept nothing more; go; ready; it lives through its probation: we drain, close, leave

A successor that fails on the way is ended, and we take the gateway back.
"""

from __future__ import annotations

import logging
import signal
import threading

from ..core.deadline import NEVER, Deadline
from ..core.plan import Action
from ..system.successor import Successor, Word
from . import late
from .house import House
from .messages import Heard
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")


class Handing:
    """One successor, warm, and what it says from now on (posted as Heard)."""

    def __init__(self, house: House, vitals: Vitals, successor: Successor) -> None:
        self._house, self._vitals, self.successor = house, vitals, successor
        self.told_to_go = self.ready = self.on_trial = self.told_to_stop = False
        #: of its start, then of its probation, while we serve on (overlap)
        self.due = NEVER
        #: why it has failed; empty while it has not
        self.fault = ""
        threading.Thread(target=self._listen, name="gatewaylock-successor", daemon=True).start()

    def _listen(self) -> None:
        word = Word("")
        while word.say != "gone":
            word = self.successor.hear(NEVER)
            self._house.inbox.post(Heard(self, word))

    def hear(self, word: Word) -> None:
        """On the loop's thread: what it said, as a fact."""
        if word.say == "ready":
            self.ready = True
        elif word.say != "warm" and not self.fault:
            self.fault = word.error or {"gone": "the successor ended: the log says why"}.get(
                word.say, word.say
            )

    def go(self) -> None:
        """It is its turn: the control socket is its own from now on, and it may start."""
        self.told_to_go = True
        self._house.shut_door()
        if not self.fault and not self.successor.say("go", self._house.kept()):
            self.fault = "the successor ended before it was told to start"

    def take_back(self) -> None:
        """It has failed: end it, and be the one who answers again."""
        self.successor.end()
        self._house.reclaim()
        self._vitals.handing = None
        self._vitals.setback = self.fault
        log.warning("full process restart failed (%s); falling back to in-process restart", self.fault)

    def forward(self, number: int) -> None:
        """A stop that reached us is meant for whoever is the gateway now."""
        self.told_to_stop = self.successor.signal(number)

    def end(self, deadline: Deadline) -> None:
        """We stop, and so does it: politely when it may have begun to serve, by force at *deadline*."""
        # Once: a second SIGTERM would skip its drain.
        if self.told_to_go and (self.told_to_stop or self.successor.signal(signal.SIGTERM)):
            self.successor.gone(deadline.earlier(0.2))
        self.successor.end()

    def leave(self) -> None:
        """It serves: we go, and take nothing with us."""
        vitals, pid = self._vitals, self.successor.pid
        log.info("restart mode: full process restart (spawned pid %d)", pid)
        text = f"life {vitals.life + 1} serves (pid {pid}){vitals.took()}"
        for request in vitals.again:
            self.successor.say("again", late.told(request))
        text += "; one more restart follows" if vitals.again else ""
        vitals.code, vitals.farewell = 0, (text, Action.RESTART)
        vitals.handed_over = True
        vitals.step("leave")
