"""A life begins: ``start()`` under a watch, then serving, parked, or the end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..core.deadline import NEVER, Deadline
from ..core.errors import StartFailed
from ..core.plan import Action
from ..core.sentences import short
from ..server import Server, why_no_server
from ..work.permit import restart_iteration_hook
from .house import House
from .requests import Requests
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")

REASON = 1000  # characters of an error in the status; all of it is in the log


class Birth:
    """Turns STARTING into the next phase."""

    def __init__(self, house: House, vitals: Vitals, requests: Requests, start: Callable[[], Any]) -> None:
        self._house, self._vitals, self._requests, self._start = house, vitals, requests, start
        self._hook = restart_iteration_hook(house.work.lanes.reset)

    def begin(self) -> None:
        """One call of ``start()``.  What it raises in the first life of all reaches the caller."""
        vitals = self._vitals
        first = vitals.life == 0
        vitals.life += 1
        self._hook()
        if first:
            self._warn_of_deaths()
        self._watch(first)
        if vitals.stop_requested.is_set():  # it came in the last moment of the last life
            self._requests.hear_stop_of_start()
            return
        self._house.begins()
        try:
            self._house.open_doors(vitals)
            with self._requests.stopping.watch():
                server = self._start()
            self._house.inbox.rearm()
            if why := why_no_server(server):
                raise StartFailed(why)
        except BaseException as error:
            self._raised(error, first)
        else:
            self._started(server)

    def _warn_of_deaths(self) -> None:
        deaths = self._house.young_deaths()
        if deaths >= 2:
            log.error(
                "%d starts have died young within five minutes: see gateway history, and their log", deaths
            )

    def _watch(self, first: bool) -> None:
        seconds = self._house.options.limits.first_start
        deadline = self._deadline() if not first else Deadline.after(seconds) if seconds else NEVER
        if deadline is not NEVER:
            self._house.watchdog.arm(deadline, 1, "start timed out; exiting")

    def _deadline(self) -> Deadline:
        """Of a later start: the last image's word, or our own."""
        inherited, self._vitals.inherited = self._vitals.inherited, None
        if inherited and inherited.channel < 0:
            return Deadline(inherited.deadline)
        # The process before us gives up on us first, so that its word on it is the one that is heard.
        return Deadline.after(self._house.options.limits.start + (1 if self._vitals.channel else 0))

    def _started(self, server: Server) -> None:
        vitals, house = self._vitals, self._house
        if vitals.stop_requested.is_set():
            vitals.server = server
            self._requests.hear_stop_of_start()
            return
        house.settle()
        vitals.step("ready")
        vitals.serve(server)
        vitals.reason = ""
        house.watchdog.disarm()
        house.work.restarts.settled()
        pid, where = house.pid, " ".join(house.listeners.addresses()) or "no socket"
        about = vitals.about("serving")
        log.info(
            "serving: name=%s pid=%d life=%d address=%s",
            house.options.name,
            pid,
            vitals.life,
            where,
            extra=about,
        )
        house.work.lanes.resume()  # behind the line in the log: who reads it sees what came after what
        if vitals.channel:
            text = f"life {vitals.life} serves (pid {pid}){vitals.took()}"
            vitals.accounts.end(text, Action.RESTART)  # the process before us tells it, as soon as it knows
            vitals.channel.say("ready")
        elif vitals.life > 1:
            self._tell(f"life {vitals.life} serves (pid {pid}){vitals.took()}")
        vitals.accepted = None
        self._requests.restarting.again()

    def _tell(self, text: str) -> None:
        """Those who wait hear that we serve; when that is not what they asked for, why."""
        vitals = self._vitals
        setback, vitals.setback = vitals.setback, ""
        done = None if setback else Action.RESTART
        text = f"restart failed: {setback}; {text} in the old process" if setback else text
        self._house.announce(vitals.outcome(text, self._house.pid, done))

    def _raised(self, error: BaseException, first: bool) -> None:
        if self._vitals.stop_requested.is_set():
            log.info("start() ended by a stop: %s", error or type(error).__name__)
            self._requests.hear_stop_of_start()
        elif self._vitals.channel:
            self._fail_as_successor(error)
        elif first:
            self._vitals.step("broken")
            self._vitals.tell("failed", text=_told(error))
            self._vitals.broken, self._vitals.code = True, 1
            self._vitals.farewell = (f"gateway startup failed: {error}", None)
            raise error
        else:
            self._park(error)

    def _fail_as_successor(self, error: BaseException) -> None:
        """The old process serves again when it hears this."""
        vitals = self._vitals
        log.error("gateway startup failed: %s", error, exc_info=error)
        vitals.code, vitals.farewell = 1, (f"gateway startup failed: {error}", None)
        vitals.step("broken")

    def _park(self, error: BaseException) -> None:
        """Stay alive with the lock free: a crash would cost the pid, its terminal and its supervisor."""
        vitals, house = self._vitals, self._house
        vitals.step("failed")
        vitals.tell("failed", text=_told(error))
        vitals.serve(None)
        vitals.reason = short(f"gateway startup failed: {error}", REASON)
        house.watchdog.disarm()
        house.release_lock()
        house.work.lanes.close()
        house.work.restarts.settled()
        text = "gateway startup failed: %s. Process will stay alive; fix the issue and restart."
        log.error(text, error, exc_info=error, extra=vitals.about("failed"))
        house.announce(
            vitals.outcome(f"{vitals.reason}; it stays alive: fix the issue and restart", house.pid)
        )
        vitals.accepted = None


def _told(error: BaseException) -> str:
    return short(f"{type(error).__name__}: {error}")
