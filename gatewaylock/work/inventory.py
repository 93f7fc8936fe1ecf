"""Everything live, as people see it: the oldest items by id, and a way to be rid of one of them."""

from __future__ import annotations

import math
import threading
import time
from itertools import count
from weakref import WeakValueDictionary

from ..core.facts import Item
from ..core.plan import LONGEST, Verdict
from .foreign import called
from .lanes import Lanes
from .names import MOST
from .runs import Run, Runs
from .task import Task

PATIENCE = 2.0  # seconds that somebody who cancels waits for foreign code to come back


class Inventory:
    """Tasks and runs with ids.

    An id is made when an item is shown for the first time, so that a task which nobody looks at pays
    nothing for it.  It begins with the number of the life: one that was read before a restart names
    nothing after it.
    """

    def __init__(self, lanes: Lanes, runs: Runs) -> None:
        self._lanes, self._runs = lanes, runs
        self._numbers = count(1)
        self._shown: WeakValueDictionary[str, Task | Run] = WeakValueDictionary()
        self._lock = threading.Lock()

    def items(self, life: int) -> tuple[Item, ...]:
        """At most 20: what has been running for longest first, then the queued tasks whose turn is next."""
        now = time.monotonic()
        running: list[Task | Run] = [*self._runs.present()[:MOST]]
        tasks = self._lanes.oldest(MOST)
        running += [task for task in tasks if not math.isinf(task.began)]
        running.sort(key=lambda thing: thing.began)
        queued = [task for task in tasks if math.isinf(task.began)]
        return tuple(self._item(thing, life, now) for thing in (*running, *queued)[:MOST])

    def cancel(self, id: str, life: int) -> Verdict:
        """Cancel the queued task *id*, or ask the run *id* to give up.

        Calls foreign code (callbacks of the future, the run's abort) on a thread of its own, and waits
        ``PATIENCE`` seconds for it.
        """
        with self._lock:
            thing = self._shown.get(id) if id.startswith(f"{life}.") else None
        if thing is None:
            return Verdict.no(f"there is no item {id[:20]!r}: see gateway status", "unknown")
        return self._cancel_task(thing) if isinstance(thing, Task) else self._abort_run(thing)

    def _cancel_task(self, task: Task) -> Verdict:
        title = task.title()
        if called(task.cancel, PATIENCE, "gatewaylock-cancel") is False:
            if task.done():
                return Verdict.no(f"{title} has ended already", "unknown")
            return Verdict.no(f"{title} runs already: a task cannot be cancelled then", "running")
        return Verdict(True, f"{title} is cancelled")

    def _abort_run(self, run: Run) -> Verdict:
        if run not in self._runs.present():
            return Verdict.no(f"{run.title()} has ended already", "unknown")
        match called(run.abort, PATIENCE, "gatewaylock-cancel"):
            case True:
                return Verdict(True, f"{run.title()} was asked to give up")
            case False:
                return Verdict.no(f"the abort of {run.title()} failed: see the log", "failed")
            case _:
                return Verdict(True, f"{run.title()} is being asked to give up: its abort takes its time")

    def _item(self, thing: Task | Run, life: int, now: float) -> Item:
        queued = math.isinf(thing.began)
        is_task = isinstance(thing, Task)
        return Item(
            id=self._id(thing, life),
            kind="task" if is_task else "run",
            name=thing.title(),
            lane=thing.lane.name[:LONGEST] if isinstance(thing, Task) else "",
            state="queued" if queued else "running",
            age=max(0.0, now - (thing.since if queued else thing.began)),
        )

    def _id(self, thing: Task | Run, life: int) -> str:
        with self._lock:
            thing.number = thing.number or next(self._numbers)
            id = f"{life}.{thing.number}"
            self._shown[id] = thing
        return id
