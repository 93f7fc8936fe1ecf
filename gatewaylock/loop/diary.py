"""What is written into the history: starts, what was asked and how it ended, and every end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.ends import young_deaths
from ..core.events import Event
from ..core.plan import Phase
from ..system import process
from ..system.blame import keepers
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
        self._began = time.monotonic()
        self._took: float | None = None  # of what was asked for last
        vitals.news.subscribe(self.hear)

    def begins(self) -> None:
        """``start()`` is about to be called: who is killed in it leaves that much."""
        self._began = time.monotonic()
        if self._vitals.channel is None:
            self._write(self._own("begin"))

    def hear(self, event: Event) -> None:
        """One event."""
        if event.kind == "phase" and event.facts["edge"] == "ready":
            self._served = True
            accepted = self._vitals.accepted
            took = time.monotonic() - (self._began if accepted is None else accepted)
            self._write({**event.as_dict(), **self._own("start"), "took": took})
        elif event.kind in WRITTEN and (self._served or self._vitals.channel is None):
            self._write({**event.as_dict(), **self._who, **self._more(event)})

    def _more(self, event: Event) -> dict[str, Any]:
        """Of an end: why, and how long the way to it took."""
        if event.kind == "outcome":
            self._took = (event.facts["account"] or {}).get("took")
        return {"why": self._vitals.reason, "took": self._took} if event.kind == "end" else {}

    def forced(self, code: int, says: str, left: Sequence[str]) -> None:
        """The watchdog ends us; on its reporting thread."""
        took = self._vitals.accounts.lasts()
        if took is None and self._vitals.phase is Phase.STARTING:
            took = time.monotonic() - self._began
        self._write({**self._own("forced"), "code": code, "text": says, "left": list(left), "took": took})

    def _own(self, kind: str) -> dict[str, Any]:
        """What every record has that is no event of the loop's."""
        event = Event(kind, self._vitals.phase.value, self._vitals.life, 0, {})
        return {**event.as_dict(), **self._who, "why": self._vitals.reason}

    def unfinished(self, live: Sequence[str]) -> tuple[str, ...]:
        """What a forced end has to be blamed on: *live* work, or what the drain left, and foreign code we wait for."""
        waited_for = {Phase.STARTING: "start()", Phase.CLOSING: "close() of the server"}.get(
            self._vitals.phase
        )
        kept = keepers() if self._vitals.over else ()
        return (*(live or self._vitals.left), *([waited_for] if waited_for else []), *kept)

    def young_deaths(self) -> int:
        """Starts that died young in the last minutes, of this process and of those before it."""
        return young_deaths(self._history.records(), time.time(), still_runs)

    def records(self) -> list[dict[str, Any]]:
        """All that is written, oldest first; half a megabyte of it at most."""
        return self._history.records()

    def _write(self, record: Mapping[str, Any]) -> None:
        self._history.add(record)
