"""Queues of short work.  One FIFO per lane, one crew of threads for all of them, everything counted."""

from __future__ import annotations

import heapq
import logging
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import chain, islice
from typing import Any, TypeVar

from ..core.errors import DRAINING, GatewayDrainingError, LaneClearedError, WorkLostError
from .crew import Crew, Worker
from .names import MAIN, lane_name, some
from .queues import Queues
from .task import OnWait, Task

T = TypeVar("T")
log = logging.getLogger("gatewaylock.lanes")


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
        self._forgotten = self._forget
        self._gate = threading.Lock()
        self._crew = Crew(self._changed, max(1, threads), self._following)
        self._queues = Queues()
        self._strays: set[Task] = set()  # still running, of an older life: they count no more
        self._watchers = 0
        self._closed = ""  # why nothing is admitted; empty while everything is
        self.refused = 0  #: tasks that were not admitted

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
        ``on_wait(seconds_waited, tasks_ahead_when_submitted)`` as it begins.  What *fn* raises is in
        the Future and nowhere else.  GatewayDrainingError once admission is closed; RuntimeError when
        there is no thread to run it and none can be started; TypeError for what cannot be called.
        """
        task = Task(fn, args, kw, warn_after, on_wait, self._forgotten)
        name = lane_name(lane)
        if not self._acquire(False):
            self._wait_turn()
        try:
            if self._closed:
                self.refused += 1
                raise GatewayDrainingError(self._closed)
            if self._queues.put(task, name):
                self._call_for(task)
        finally:
            self._release()
        return task

    def set_concurrency(self, lane: str, n: int) -> None:
        """At most *n* tasks of *lane* at once from now on; below 1 becomes 1.  Remembered."""
        with self._changed:
            if self._queues.limit(lane_name(lane), max(1, n)):
                self._call_or_log()

    # -- what is there -----------------------------------------------------------------------------

    def size(self, lane: str = MAIN) -> int:
        """Tasks queued and running in *lane*."""
        with self._changed:
            place = self._queues.lanes.get(lane_name(lane))
            return place.size() if place else 0

    def total(self) -> int:
        """Tasks queued and running in all lanes.  Takes no lock."""
        return self._queues.total

    def active_count(self) -> int:
        """Tasks running now.  Takes no lock."""
        return len(self._queues.running)

    def admits(self) -> bool:
        """Whether new tasks are accepted.  Takes no lock.  Who polls for work asks this before each poll."""
        return not self._closed

    def queued_count(self) -> int:
        """Tasks that have not begun.  Takes no lock."""
        return max(0, self._queues.total - len(self._queues.running))

    def sizes(self) -> dict[str, int]:
        """The busiest 100 lanes: name -> tasks queued and running."""
        with self._changed:
            pairs = [(lane.size(), lane.name) for lane in self._queues.lanes.values()]
        return {name: size for size, name in heapq.nlargest(100, pairs)}

    def census(self) -> list[tuple[str, int, int]]:
        """Every lane with work: name, tasks running, tasks queued."""
        with self._changed:
            return self._queues.census()

    def live(self) -> tuple[str, ...]:
        """Unfinished work by name, for logs: longest running first, at most 20 and how many more."""
        with self._changed:
            running = sorted(self._queues.running, key=lambda task: task.began)
            tasks = chain(running, self._queues.waiting())
            return some((task.name() for task in tasks), self._queues.total)

    def oldest(self, most: int) -> list[Task]:
        """At most *most* unfinished tasks: running for longest first, then those whose turn is next."""
        with self._changed:
            running = heapq.nsmallest(most, self._queues.running, key=lambda task: task.began)
            return [*running, *islice(self._queues.waiting(), most - len(running))]

    def crowd(self) -> frozenset[Task]:
        """What runs while something else that may begin waits for a thread; nothing where none waits."""
        with self._changed:
            waits = bool(self._queues.ready) and not self._queues.held
            return frozenset(self._queues.running) if waits else frozenset()

    def wait_for_active(self, timeout: float | None = None) -> bool:
        """Wait up to *timeout* seconds (None: for ever) until what runs now has ended; whether it has."""
        limit = None if timeout is None or math.isinf(timeout) else min(timeout, threading.TIMEOUT_MAX)
        with self._changed:
            pending = set(self._queues.running)
            self._watchers += 1
            try:
                return self._changed.wait_for(lambda: not self._unfinished(pending), limit)
            finally:
                self._watchers -= 1

    # -- out, before its time ----------------------------------------------------------------------

    def clear(self, lane: str = MAIN) -> int:
        """Fail what is queued in *lane* with LaneClearedError; how many.  Running tasks stay."""
        with self._changed:
            cleared = self._queues.empty(lane_name(lane))
            self._changed.notify_all()
        for task in cleared:
            task.fail(LaneClearedError(lane_name(lane)))
        return len(cleared)

    def abandon(self) -> tuple[str, ...]:
        """The process is about to go: fail every unfinished future with WorkLostError; their names.

        Admission is closed.  What a running task still gives back is dropped.
        """
        with self._changed:
            self._closed = self._closed or DRAINING
            running = [task for task in chain(self._queues.running, self._strays) if not task.done()]
            waiting = list(self._queues.waiting())
            names = some((task.name() for task in chain(running, waiting)), len(running) + len(waiting))
            self._let_go()
            queued = [task for name in list(self._queues.lanes) for task in self._queues.empty(name)]
        for task in running:
            task.fail(WorkLostError(task.lane.name, began=True))
        for task in queued:
            task.fail(WorkLostError(task.lane.name, began=False))
        return names

    # -- from one life to the next -----------------------------------------------------------------

    def close(self, state: str = DRAINING) -> None:
        """Refuse new tasks, for the gateway is *state*.  What was accepted, queued tasks too, goes on."""
        with self._changed:
            self._closed = state

    def open(self) -> None:
        """Admit new tasks again: nothing had to end after all."""
        with self._changed:
            self._closed = ""

    def hold(self) -> None:
        """No queued task begins any more."""
        with self._changed:
            self._queues.held = True

    def reset(self) -> None:
        """A new life: admission open, every thread free.

        Lanes with queued tasks keep them and wait for ``resume``; the others run at once.  What
        still runs settles its own future and counts for nothing: neither in its lane, nor in any
        count, nor against ``threads``.
        """
        with self._changed:
            self._let_go()
            self._closed = ""
            self._queues.held = self._crew.ending = False

    def resume(self) -> None:
        """The new life serves: held tasks begin."""
        with self._changed:
            if self._queues.release():
                self._call_or_log()

    def shutdown(self) -> None:
        """The end of the gateway: idle threads end now, the others after what is queued and running."""
        with self._changed:
            self._closed = self._closed or DRAINING
            leaving = self._crew.end()
        for thread in leaving:
            thread.join(1.0)  # they are on their last lines

    # -- inside; the lock is held in all but _wait_turn, _following and _forget ---------------------

    def _wait_turn(self) -> None:
        """Acquire the lock that somebody has.

        Only one thread waits for the lock itself.  A thread that was given a lock still has to wait
        for the GIL, and whoever runs meanwhile runs into the lock: with 16 threads in that queue each
        task costs a switch of threads.  With one in it and the others at a gate it does not.
        """
        with self._gate:
            self._acquire()

    def _call_for(self, task: Task) -> None:
        try:
            self._crew.call()
        except BaseException:
            self._queues.remove(task)
            raise

    def _call_or_log(self) -> None:
        try:
            self._crew.call()
        except RuntimeError as error:
            log.error("no thread for queued tasks: %s; the next submit tries again", error)

    def _following(self, worker: Worker, done: Task | None) -> Task | None:
        """*worker* came, or did *done*: count it out; what it does next."""
        queues = self._queues
        if not self._acquire(False):
            self._wait_turn()
        try:
            if done is None:
                self._crew.arrived(worker)
            elif done in queues.running:
                queues.ended(done)
            else:
                self._stray_ended(worker, done)
                return None
            task = queues.begin()
            if task is None:
                self._crew.rest(worker)
            elif queues.ready:
                self._crew.call()
            if self._watchers or not queues.total:
                self._changed.notify_all()
            return task
        finally:
            self._release()

    def _stray_ended(self, worker: Worker, task: Task) -> None:
        self._strays.discard(task)
        self._crew.dismiss(worker)
        self._changed.notify_all()

    def _forget(self, task: Task) -> None:
        """*task* was cancelled: whoever takes it out of its queue tells those who wait for it."""
        with self._changed:
            if self._queues.remove(task):
                task.begin()
                self._changed.notify_all()

    def _let_go(self) -> None:
        self._strays |= self._queues.let_go()
        self._crew.disown()
        self._changed.notify_all()

    def _unfinished(self, tasks: set[Task]) -> bool:
        return not (tasks.isdisjoint(self._queues.running) and tasks.isdisjoint(self._strays))
