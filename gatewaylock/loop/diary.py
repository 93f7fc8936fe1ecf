"""What is written into the history: starts, what was asked and how it ended, and every end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.ends import young_deaths
from ..core.events import Event
from ..core.plan import Phase
from ..system import process
from ..system.history import History, still_runs
from .vitals import Vitals

WRITTEN = ("asked", "outcome", "failed", "end")


class Diary:
    """Listens to the events of the loop, and writes those that somebody will want to know of later.

    A line is one small write to a local file, on the loop's thread: what comes after an end must find it.
    A successor writes nothing before it serves: until then it is nobody.
    """

    def __init__(self, history: History, vitals: Vitals, pid: int) -> None:
        self._history, self._vitals = history, vitals
        self._who = {"pid": pid, "started": process.start_time(pid)}
        self._served = False
        vitals.news.subscribe(self.hear)

    def hear(self, event: Event) -> None:
        """One event."""
        if event.kind == "phase" and event.facts["edge"] == "ready":
            self._served = True
            took = None if self._vitals.accepted is None else time.monotonic() - self._vitals.accepted
            self._write({**event.as_dict(), **self._who, "event": "start", "why": self._why(), "took": took})
        elif event.kind in WRITTEN and (self._served or self._vitals.channel is None):
            why = {"why": self._why()} if event.kind == "end" else {}
            self._write({**event.as_dict(), **self._who, **why})

    def forced(self, code: int, says: str, left: Sequence[str]) -> None:
        """The watchdog ends us; on its reporting thread."""
        event = Event("forced", self._vitals.phase.value, self._vitals.life, 0, {"code": code, "text": says})
        self._write({**event.as_dict(), **self._who, "left": list(left), "why": self._why()})

    def unfinished(self, live: Sequence[str]) -> tuple[str, ...]:
        """What a forced end has to be blamed on: *live* work, or what the drain left, and foreign code we wait for."""
        waited_for = {Phase.STARTING: "start()", Phase.CLOSING: "close() of the server"}.get(
            self._vitals.phase
        )
        return (*(live or self._vitals.left), *([waited_for] if waited_for else []))

    def young_deaths(self) -> int:
        """Starts that died young in the last minutes, of this process and of those before it."""
        return young_deaths(self._history.records(), time.time(), still_runs)

    def records(self) -> list[dict[str, Any]]:
        """All that is written, oldest first; half a megabyte of it at most."""
        return self._history.records()

    def _why(self) -> str:
        return self._vitals.reason

    def _write(self, record: Mapping[str, Any]) -> None:
        self._history.add(record)
