"""Queues of short work.  One FIFO per lane, one crew of threads for all of them, everything counted."""

from __future__ import annotations

import heapq
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from itertools import chain
from typing import Any, TypeVar

from ..core.errors import GatewayDrainingError, LaneClearedError, WorkLostError
from .crew import Crew, Worker
from .names import some
from .task import OnWait, Task

T = TypeVar("T")
log = logging.getLogger("gatewaylock.lanes")

MAIN = "main"


def _named(lane: str) -> str:
    return lane if lane.strip() else MAIN


class Lane:
    """One queue.  It exists while something is in it."""

    __slots__ = ("held", "limit", "name", "queue", "slots")

    def __init__(self, name: str, limit: int) -> None:
        self.name, self.limit = name, limit
        self.slots = 0  # how many of its tasks run, or may begin as soon as a thread is free
        self.held = False  # kept over a restart: waits for resume()
        # The others.  Ordered and not a deque: a cancelled task leaves from the middle at once.
        self.queue: OrderedDict[Task, None] = OrderedDict()

    def size(self) -> int:
        """Tasks queued and running."""
        return self.slots + len(self.queue)


class Lanes:
    """Tasks queued in lanes: FIFO within a lane, in turn between lanes, at most N at once in each.

    ``threads`` is how many tasks may run at once in all lanes together.  Threads are shared, daemon,
    started when needed and gone after 10 s without work; an idle lane costs nothing at all.

    A count falls after its future was settled and the future's callbacks have run: when the counts
    say that nothing is left, every caller has been told.

    ``changed`` guards everything here and is notified when work ends; a drain waits on the same one
    for tasks and runs.  It must be built over a plain ``threading.Lock``.
    """

    def __init__(self, *, threads: int = 256, changed: threading.Condition | None = None) -> None:
        self._changed = changed or threading.Condition(threading.Lock())
        # On the way of every task these are used instead of "with": a Condition's "with" is Python code.
        self._acquire, self._release = self._changed.acquire, self._changed.release
        self._crew = Crew(self._changed, max(1, threads), self._following)
        self._lanes: dict[str, Lane] = {}
        self._limits: dict[str, int] = {}
        self._ready: OrderedDict[Task, None] = OrderedDict()  # each has a slot of its lane, but no thread yet
        self._running: set[Task] = set()
        self._strays: set[Task] = set()  # still running, of an older life: they count no more
        self._total = 0  # those in queues, ready and running
        self._watchers = 0
        self._closed = self._held = False

    # -- in ----------------------------------------------------------------------------------------

    def submit(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        lane: str = MAIN,
        warn_after: float = 2.0,
        on_wait: OnWait | None = None,
        **kw: Any,
    ) -> Future[T]:
        """Queue ``fn(*args, **kw)`` in *lane* (blank: "main").

        A task that waited longer than *warn_after* seconds logs a warning and calls
        ``on_wait(seconds_waited, tasks_ahead_when_submitted)`` as it begins.

        GatewayDrainingError once admission is closed; RuntimeError when there is no thread to run
        it and none can be started.
        """
        task = Task(fn, args, kw, warn_after, on_wait)
        self._acquire()
        try:
            if self._closed:
                raise GatewayDrainingError()
            self._enqueue(task, lane if lane.strip() else MAIN)
        finally:
            self._release()
        return task

    def set_concurrency(self, lane: str, n: int) -> None:
        """At most *n* tasks of *lane* at once from now on; below 1 becomes 1.  Remembered."""
        name, limit = _named(lane), max(1, n)
        with self._changed:
            self._limits[name] = limit
            place = self._lanes.get(name)
            if place is not None:
                place.limit = limit
                self._take_back(place)
                self._fill(place)
                self._call_or_log()

    # -- what is there -----------------------------------------------------------------------------

    def size(self, lane: str = MAIN) -> int:
        """Tasks queued and running in *lane*."""
        with self._changed:
            place = self._lanes.get(_named(lane))
            return place.size() if place else 0

    def total(self) -> int:
        """Tasks queued and running in all lanes.  Takes no lock."""
        return self._total

    def active_count(self) -> int:
        """Tasks running now.  Takes no lock."""
        return len(self._running)

    def queued_count(self) -> int:
        """Tasks that have not begun.  Takes no lock."""
        return max(0, self._total - len(self._running))

    def sizes(self) -> dict[str, int]:
        """The busiest 100 lanes: name -> tasks queued and running."""
        with self._changed:
            pairs = [(lane.size(), lane.name) for lane in self._lanes.values()]
        return {name: size for size, name in heapq.nlargest(100, pairs)}

    def live(self) -> tuple[str, ...]:
        """Unfinished work by name, for logs: longest running first, at most 20 and how many more."""
        with self._changed:
            running = sorted(self._running, key=lambda task: task.began)
            return some((task.name() for task in chain(running, self._waiting())), self._total)

    def wait_for_active(self, timeout: float | None = None) -> bool:
        """Wait up to *timeout* seconds (None: for ever) until what runs now has ended; whether it has."""
        limit = None if timeout is None or math.isinf(timeout) else min(timeout, threading.TIMEOUT_MAX)
        with self._changed:
            pending = set(self._running)
            self._watchers += 1
            try:
                return self._changed.wait_for(lambda: not self._unfinished(pending), limit)
            finally:
                self._watchers -= 1

    # -- out, before its time ----------------------------------------------------------------------

    def clear(self, lane: str = MAIN) -> int:
        """Fail what is queued in *lane* with LaneClearedError; how many.  Running tasks stay."""
        with self._changed:
            place = self._lanes.get(_named(lane))
            cleared = self._empty(place) if place else []
            self._changed.notify_all()
        for task in cleared:
            task.fail(LaneClearedError(_named(lane)))
        return len(cleared)

    def abandon(self) -> tuple[str, ...]:
        """The process is about to go: fail every unfinished future with WorkLostError; their names.

        Admission is closed.  What a running task still gives back is dropped.
        """
        with self._changed:
            self._closed = True
            running = [task for task in chain(self._running, self._strays) if not task.done()]
            waiting = list(self._waiting())
            names = some((task.name() for task in chain(running, waiting)), len(running) + len(waiting))
            self._let_go()
            queued = [task for lane in list(self._lanes.values()) for task in self._empty(lane)]
        for task in running:
            task.fail(WorkLostError(task.lane.name, began=True))
        for task in queued:
            task.fail(WorkLostError(task.lane.name, began=False))
        return names

    # -- from one life to the next -----------------------------------------------------------------

    def close(self) -> None:
        """Refuse new tasks.  What was accepted, queued tasks too, goes on."""
        with self._changed:
            self._closed = True

    def hold(self) -> None:
        """No queued task begins any more."""
        with self._changed:
            self._held = True

    def reset(self) -> None:
        """A new life: admission open, every thread free.

        Lanes with queued tasks keep them and wait for ``resume``; the others run at once.  What
        still runs settles its own future and counts for nothing: neither in its lane, nor in any
        count, nor against ``threads``.
        """
        with self._changed:
            self._let_go()
            self._closed = self._held = self._crew.ending = False

    def resume(self) -> None:
        """The new life serves: held tasks begin."""
        with self._changed:
            self._held = False
            for lane in self._lanes.values():
                lane.held = False
                self._fill(lane)
            self._call_or_log()

    def shutdown(self) -> None:
        """The end of the gateway: idle threads end now, the others after what is queued and running."""
        with self._changed:
            self._closed = True
            leaving = self._crew.end()
        for thread in leaving:
            thread.join(1.0)  # they are on their last lines

    # -- inside; the lock is held in all of these but _following and _forget -------------------------

    def _enqueue(self, task: Task, name: str) -> None:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name, self._limits.get(name, 1))
        task.lane, task.ahead, task.forget = lane, lane.slots + len(lane.queue), self._forget
        self._total += 1
        if lane.slots >= lane.limit or lane.held:
            lane.queue[task] = None
        else:
            lane.slots += 1
            self._ready[task] = None
        if self._ready and not self._held:
            try:
                self._crew.call()
            except BaseException:
                self._remove(task)
                raise

    def _take(self) -> Task | None:
        """Begin the task whose turn it is; None when nothing may begin."""
        while self._ready and not self._held:
            task = self._ready.popitem(last=False)[0]
            if task.begin():
                self._running.add(task)
                return task
            self._total -= 1
            self._vacate(task.lane)
        return None

    def _vacate(self, lane: Lane) -> None:
        """One slot of *lane* is free: its next task waits at the end, so no lane starves another."""
        lane.slots -= 1
        if lane.queue:
            self._fill(lane)
        elif not lane.slots:
            del self._lanes[lane.name]

    def _fill(self, lane: Lane) -> None:
        while lane.queue and lane.slots < lane.limit and not lane.held:
            self._ready[lane.queue.popitem(last=False)[0]] = None
            lane.slots += 1

    def _take_back(self, lane: Lane) -> None:
        """Back into its queue with what has a slot of *lane* beyond its limit and has not begun."""
        if lane.slots > lane.limit:
            for task in [task for task in reversed(self._ready) if task.lane is lane]:
                if lane.slots > lane.limit:
                    self._put_back(task)

    def _put_back(self, task: Task) -> None:
        del self._ready[task]
        task.lane.slots -= 1
        task.lane.queue[task] = None
        task.lane.queue.move_to_end(task, last=False)

    def _call_or_log(self) -> None:
        if self._ready and not self._held:
            try:
                self._crew.call()
            except RuntimeError as error:
                log.error("no thread for queued tasks: %s; the next submit tries again", error)

    def _following(self, worker: Worker, done: Task | None) -> Task | None:
        """*worker* came, or did *done*: count it out; what it does next."""
        self._acquire()
        try:
            if done is None:
                self._crew.arrived(worker)
            elif done in self._running:
                self._running.remove(done)
                self._total -= 1
                self._vacate(done.lane)
            else:
                self._strays.discard(done)
                self._crew.dismiss(worker)
                self._changed.notify_all()
                return None
            task = self._take()
            if task is None:
                self._crew.rest(worker)
            elif self._ready:
                self._crew.call()
            if self._watchers or not self._total:
                self._changed.notify_all()
            return task
        finally:
            self._release()

    def _forget(self, task: Task) -> None:
        """*task* was cancelled: whoever takes it out of its queue tells those who wait for it."""
        with self._changed:
            if self._remove(task):
                task.begin()
                self._changed.notify_all()

    def _remove(self, task: Task) -> bool:
        """Take *task* out; False when it is neither queued nor ready."""
        lane = task.lane
        if task in self._ready:
            del self._ready[task]
            self._vacate(lane)
        elif task in lane.queue:
            del lane.queue[task]
            if not lane.size():
                del self._lanes[lane.name]
        else:
            return False
        self._total -= 1
        return True

    def _empty(self, lane: Lane) -> list[Task]:
        """Take out what has not begun, but for what was cancelled in the same moment."""
        queued = [task for task in self._ready if task.lane is lane] + list(lane.queue)
        lane.held = True  # nothing moves up
        removed = [task for task in queued if self._remove(task)]
        lane.held = False
        return [task for task in removed if task.begin()]

    def _let_go(self) -> None:
        """What runs no longer counts; lanes with something queued are held, the others are gone."""
        for task in reversed(tuple(self._ready)):
            self._put_back(task)
        self._strays |= self._running
        self._total -= len(self._running)
        self._running = set()
        self._crew.disown()
        self._lanes = {name: lane for name, lane in self._lanes.items() if lane.queue}
        for lane in self._lanes.values():
            lane.slots, lane.held = 0, True
        self._changed.notify_all()

    def _waiting(self) -> Iterable[Task]:
        queues = (lane.queue for lane in self._lanes.values())
        return chain(self._ready, chain.from_iterable(queues))

    def _unfinished(self, tasks: set[Task]) -> bool:
        return not (tasks.isdisjoint(self._running) and tasks.isdisjoint(self._strays))
