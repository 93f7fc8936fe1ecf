"""Which task is where.  Bookkeeping without threads and locks: whoever uses it holds the lock.

put --> queue of its lane --> ready, with a slot of its lane --> running --> gone
              a lane has N slots             a thread is free
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from itertools import chain
from types import MappingProxyType
from typing import cast

from .task import Task

#: what a lane has that never had to queue anything: most of ten thousand never do
EMPTY = cast("OrderedDict[Task, None]", MappingProxyType({}))


class Lane:
    """One queue.  It exists while something is in it."""

    __slots__ = ("held", "limit", "name", "queue", "slots")

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit = name, limit
        self.slots = 0  # how many of its tasks run, or may begin as soon as a thread is free
        self.held = False  # kept over a restart: waits for release()
        # The others.  Ordered and not a deque: a cancelled task leaves from the middle at once.
        self.queue = EMPTY

    def line(self) -> OrderedDict[Task, None]:
        """The queue, to put something into."""
        if self.queue is EMPTY:
            self.queue = OrderedDict()
        return self.queue

    def size(self) -> int:
        """Tasks queued and running."""
        return self.slots + len(self.queue)


class Queues:
    """All lanes.  ``total`` counts what is queued, ready and running; ``held`` lets nothing begin."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.limits: dict[str, int] = {}  # outlive their lanes
        self.ready: OrderedDict[Task, None] = OrderedDict()
        self.running: set[Task] = set()
        self.total = 0
        self.held = False

    def put(self, task: Task, name: str) -> bool:
        """Queue *task* in the lane *name*; whether anything may begin."""
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(name, self.limits.get(name, 1))
        task.lane, task.ahead = lane, lane.slots + len(lane.queue)
        self.total += 1
        if lane.slots >= lane.limit or lane.held:
            lane.line()[task] = None
        else:
            lane.slots += 1
            self.ready[task] = None
        return bool(self.ready) and not self.held

    def begin(self) -> Task | None:
        """Begin the task whose turn it is; None when nothing may begin."""
        while self.ready and not self.held:
            task = self.ready.popitem(last=False)[0]
            if task.begin():
                self.running.add(task)
                return task
            self.total -= 1
            self._vacate(task.lane)
        return None

    def ended(self, task: Task) -> None:
        """*task*, which ran, runs no more."""
        self.running.remove(task)
        self.total -= 1
        lane = task.lane
        if lane.slots == 1 and not lane.queue:
            del self.lanes[lane.name]
        else:
            self._vacate(lane)

    def remove(self, task: Task) -> bool:
        """Take *task* out; False when it is neither queued nor ready."""
        lane = task.lane
        if task in self.ready:
            del self.ready[task]
            self._vacate(lane)
        elif task in lane.queue:
            del lane.queue[task]
            if not lane.size():
                del self.lanes[lane.name]
        else:
            return False
        self.total -= 1
        return True

    def empty(self, name: str) -> list[Task]:
        """Take out what has not begun in the lane *name*, and give back what was not cancelled just now."""
        lane = self.lanes.get(name)
        if lane is None:
            return []
        queued = [task for task in self.ready if task.lane is lane] + list(lane.queue)
        lane.held = True  # nothing moves up meanwhile
        removed = [task for task in queued if self.remove(task)]
        lane.held = False
        return [task for task in removed if task.begin()]

    def limit(self, name: str, n: int) -> bool:
        """At most *n* tasks of the lane *name* at once; whether anything may begin."""
        self.limits[name] = n
        lane = self.lanes.get(name)
        if lane is not None:
            lane.limit = n
            if lane.slots > n:
                for task in [task for task in reversed(self.ready) if task.lane is lane][: lane.slots - n]:
                    self._put_back(task)
            self._fill(lane)
        return bool(self.ready) and not self.held

    def let_go(self) -> set[Task]:
        """What runs no longer counts and is given back; lanes with something queued are held."""
        for task in reversed(tuple(self.ready)):
            self._put_back(task)
        strays, self.running = self.running, set()
        self.total -= len(strays)
        self.lanes = {name: lane for name, lane in self.lanes.items() if lane.queue}
        for lane in self.lanes.values():
            lane.slots, lane.held = 0, True
        return strays

    def release(self) -> bool:
        """Nothing is held any more; whether anything may begin."""
        self.held = False
        for lane in self.lanes.values():
            lane.held = False
            self._fill(lane)
        return bool(self.ready)

    def census(self) -> list[tuple[str, int, int]]:
        """Every lane with work: name, tasks running, tasks queued."""
        busy = Counter(task.lane for task in self.running)
        return [(lane.name, busy[lane], max(0, lane.size() - busy[lane])) for lane in self.lanes.values()]

    def waiting(self) -> Iterable[Task]:
        """What has not begun."""
        return chain(self.ready, chain.from_iterable(lane.queue for lane in self.lanes.values()))

    def _vacate(self, lane: Lane) -> None:
        """One slot of *lane* is free: its next task waits at the end, so no lane starves another."""
        lane.slots -= 1
        if lane.queue:
            self._fill(lane)
        elif not lane.slots:
            del self.lanes[lane.name]

    def _fill(self, lane: Lane) -> None:
        while lane.queue and lane.slots < lane.limit and not lane.held:
            self.ready[lane.queue.popitem(last=False)[0]] = None
            lane.slots += 1

    def _put_back(self, task: Task) -> None:
        """*task* was ready and is again the first in its queue."""
        del self.ready[task]
        task.lane.slots -= 1
        task.lane.line()[task] = None
        task.lane.queue.move_to_end(task, last=False)
