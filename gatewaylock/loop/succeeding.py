"""The other side of a hand-over: we are the successor, warm, and wait for our turn."""

from __future__ import annotations

import logging
import threading
import traceback

from ..core.deadline import NEVER
from ..core.plan import Action, Phase
from ..system.successor import Channel, Word
from .house import House
from .messages import Ask, Told
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")


class Succeeding:
    """Load, say so, wait for ``go``.  The old process may die at any point: then it is our turn at once."""

    def __init__(self, house: House, vitals: Vitals, channel: Channel) -> None:
        self._house, self._vitals, self._channel = house, vitals, channel

    def wait(self) -> None:
        """Returns when it is our turn, or with the phase EXITED when it never will be."""
        if not self._load():
            return
        self._channel.say("warm")
        self._house.watchdog.disarm()  # the drain of the other side may take long; its end is heard
        threading.Thread(target=self._listen, name="gatewaylock-predecessor", daemon=True).start()
        while True:
            message = self._house.inbox.wait()
            if isinstance(message, Told) and message.word.say != "end":
                self.told(message.word)
                self._house.describe()
                return
            if isinstance(message, Told) or self._is_stop(message):
                self._vitals.farewell = ("stopped", Action.STOP)
                self._vitals.leave_phase(Phase.EXITED, "called off")
                return

    def _load(self) -> bool:
        preflight = self._house.options.preflight
        try:
            if preflight:
                preflight()
        except BaseException as error:
            log.error("the next version does not load: %s", error, exc_info=True)
            self._channel.say("failed", traceback.format_exc())
            self._vitals.code = 1
            self._vitals.leave_phase(Phase.EXITED, "not loaded")
            return False
        return True

    def told(self, word: Word) -> None:
        """``go``, or the end of the other side."""
        if word.say == "go":
            self._house.inherit(word.error)
        else:
            log.warning("the process before us is gone: the gateway is ours")
            self._vitals.alone()

    def _listen(self) -> None:
        word = Word("")
        while word.say != "gone":
            word = self._channel.hear(NEVER)
            self._house.inbox.post(Told(word))

    def _is_stop(self, message: object) -> bool:
        if isinstance(message, Ask):
            return message.request.action is Action.STOP
        return isinstance(message, int) and message in self._house.stops()
