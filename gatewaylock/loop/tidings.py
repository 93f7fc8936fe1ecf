"""What a gateway is doing, and what it waits for, in one line for people."""

from __future__ import annotations

import logging
from typing import Any

from ..core.events import Event
from ..core.plan import Action, Phase
from ..system.notify import plain
from .house import House
from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")


class Tidings:
    """For ``systemctl status``: escaped, for a reason comes from a client."""

    def __init__(self, house: House, vitals: Vitals) -> None:
        self._house, self._vitals = house, vitals
        self._told = ""
        self._setback = ""

    def hear(self, outcome: Event) -> None:
        """A restart that came to nothing stays in the line until the next one."""
        self._setback = "" if outcome.facts["done"] else str(outcome.facts["text"])

    def status(self) -> str:
        """As a line of the protocol."""
        self._told = f"STATUS={plain(self._text())}"
        return self._told

    def news(self) -> str:
        """The same, empty where it was the last thing said."""
        told = self._told
        return "" if self.status() == told else self._told

    def live(self) -> int:
        """How many pieces of work are waited for in a stop or restart."""
        work = self._house.work
        return work.lanes.total() + work.runs.active_count() + int(self.of_server("in_flight") or 0)

    def of_server(self, what: str) -> Any:
        """What the server says to one of the questions that it may know (see ``server.py``); None if it does not."""
        ask = getattr(self._vitals.server, what, None)
        try:
            return ask() if callable(ask) else None
        except Exception:
            log.exception("the server's %s() failed", what)
            return None

    def _text(self) -> str:
        vitals = self._vitals
        match vitals.phase:
            case Phase.STARTING:
                return "starting"
            case Phase.SERVING:
                return self._serving()
            case Phase.QUIET:
                return f"life {vitals.life} is quiet: it takes no new work for a while"
            case Phase.LAME_DUCK:
                return f"life {vitals.life} takes new work for a last while: stopping soon"
            case Phase.DRAINING | Phase.CLOSING:
                return f"life {vitals.life} {self._leaving()}{self._waits_for()}"
            case Phase.RESPAWNING:
                return f"life {vitals.life} has ended, the next one follows"
            case Phase.PARKED:
                return f"{vitals.reason}; fix the issue and restart"
            case _:
                return vitals.farewell[0]

    def _serving(self) -> str:
        vitals = self._vitals
        where = " ".join(self._house.listeners.addresses())
        text = f"life {vitals.life} serves" + (f" on {where}" if where else "")
        if vitals.handing:
            return f"{text}; pid {vitals.handing.successor.pid} is to follow it"
        if vitals.proving:
            return f"{text}; the next version is being loaded"
        setback = f"restart failed: {vitals.setback}" if vitals.setback else self._setback
        return f"{text}; {plain(setback)}" if setback else text

    def _leaving(self) -> str:
        request, drains = self._vitals.request, self._vitals.phase is Phase.DRAINING
        stops = request is not None and request.action is Action.STOP
        return f"{'drains' if drains else 'closes'} before {'a stop' if stops else 'a restart'}"

    def _waits_for(self) -> str:
        work = self._house.work
        counts = {
            "task": work.lanes.total(),
            "run": work.runs.active_count(),
            "request": int(self.of_server("in_flight") or 0),
        }
        waits = ", ".join(f"{count} {what}{'s' * (count > 1)}" for what, count in counts.items() if count)
        left = self._vitals.deadline.timeout()
        return (f": waits for {waits}" if waits else "") + ("" if left is None else f"; {left:.0f} s left")
