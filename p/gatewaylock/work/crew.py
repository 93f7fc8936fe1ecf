"""The threads that do the work of all lanes: started when needed, gone when idle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count

from .task import Task

IDLE = 10.0  # seconds after which a thread without work ends


class Worker:
    """One thread.  It sleeps until ``wake`` is released."""

    __slots__ = ("leaving", "thread", "wake")

    def __init__(self, number: int, work: Callable[[Worker], None]) -> None:
        self.leaving = False
        self.wake = threading.Lock()
        self.wake.acquire()
        name = f"gatewaylock-worker-{number}"
        self.thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)


class Crew:
    """Up to *most* workers.  Call everything but ``serve`` with *lock* held.

    At most one worker is on its way at any time, and it calls the next one if there is more to do.
    Waking one for each task would cost a switch of threads a task, where those at work take most of
    it in passing: measured, that halves the tasks per second of four threads.

    *following* is called without the lock, with a worker and the task it did (None: it has just
    come).  It gives back the next one, or None after it called ``rest`` or ``dismiss`` for the worker.
    """

    def __init__(
        self,
        lock: threading.Condition,
        most: int,
        following: Callable[[Worker, Task | None], Task | None],
    ) -> None:
        self._lock, self._most, self._following = lock, most, following
        self._idle: dict[Worker, None] = {}
        self._coming: Worker | None = None
        self._size = 0
        self._numbers = count(1)
        self.ending = False

    def call(self) -> None:
        """Have somebody come who looks for work, unless somebody does or all are at work.

        RuntimeError when there is nobody at all and no thread can be started.
        """
        if self._coming is not None:
            return
        if self._idle:
            self._coming = self._idle.popitem()[0]  # idle last: so that the others can end
            self._coming.wake.release()
        elif self._size < self._most:
            worker = Worker(next(self._numbers), self.serve)
            try:
                worker.thread.start()
            except RuntimeError:
                if not self._size:
                    raise
                return  # those at work will take it
            self._size += 1
            self._coming = worker

    def arrived(self, worker: Worker) -> None:
        """*worker*, which was called, is here."""
        if worker is self._coming:
            self._coming = None

    def rest(self, worker: Worker) -> None:
        """*worker* has nothing to do."""
        if self.ending:
            self._size -= 1
            worker.leaving = True
        else:
            self._idle[worker] = None

    def dismiss(self, worker: Worker) -> None:
        """*worker*, disowned before, may end."""
        worker.leaving = True

    def disown(self) -> None:
        """Those at work no longer count; each is to be dismissed when its task ends."""
        self._size = len(self._idle) + (self._coming is not None)

    def end(self) -> list[threading.Thread]:
        """No worker rests any more; the threads that did, on their way out."""
        self.ending = True
        idle, self._idle = self._idle, {}
        self._size -= len(idle)
        for worker in idle:
            worker.leaving = True
            worker.wake.release()
        return [worker.thread for worker in idle]

    def serve(self, worker: Worker) -> None:
        """The body of a worker's thread."""
        task: Task | None = None
        while True:
            task = self._following(worker, task)
            if task is not None:
                task.run()
            elif worker.leaving or not self._called(worker):
                return

    def _called(self, worker: Worker) -> bool:
        """Sleep until there may be work; False when it is time to end."""
        if not worker.wake.acquire(timeout=IDLE):
            with self._lock:
                if worker in self._idle:
                    del self._idle[worker]
                    self._size -= 1
                    return False
            worker.wake.acquire()  # called at the last moment
        return not worker.leaving
