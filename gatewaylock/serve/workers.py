"""The threads in which requests are answered; all listeners of a server share them."""

from __future__ import annotations

import threading
from collections import deque

from ..core.deadline import Deadline
from .library import HTTPChannel
from .words import log


class Workers:
    """*count* daemon threads.  Each task is handed to the one that became idle last, or waits in a queue.

    The library has a pool too.  Ours exists because that one logs a line for each request that has to
    wait, polls while it ends, and lets a connection hang for ever when SystemExit leaves a request.
    The idle thread to take a task is named, and the last one: waking any of 16 for each task, as a shared
    queue does, was slower in every run.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[HTTPChannel] = deque()
        self._idle: list[_Desk] = []
        self._closing = False
        self._taken = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"gateway-http-{number}", daemon=True)
            for number in range(1, count + 1)
        ]
        for thread in self._threads:
            thread.start()

    def add_task(self, task: HTTPChannel) -> None:
        """The next request of *task* can be answered.  (The library's name for it.)"""
        with self._lock:
            if self._idle:
                self._idle.pop().put(task)
            else:
                self._waiting.append(task)

    def crowd(self) -> int:
        """How many waiting tasks have been taken so far, plus one; 0 when none waits."""
        return self._taken + 1 if self._waiting else 0

    def close(self, until: Deadline) -> list[str]:
        """Let every thread end after what waits; the names of those that had not by *until*."""
        with self._lock:
            self._closing = True
            while self._idle:
                self._idle.pop().put(None)
        others = [thread for thread in self._threads if thread is not threading.current_thread()]
        for thread in others:
            thread.join(until.timeout())
        return [thread.name for thread in others if thread.is_alive()]

    def _work(self) -> None:
        desk = _Desk()
        while (channel := self._next(desk)) is not None:
            try:
                channel.service()
            except BaseException:
                log.exception("a request could not be answered")
                channel.cancel()
                channel.server.pull_trigger()

    def _next(self, desk: _Desk) -> HTTPChannel | None:
        with self._lock:
            if self._waiting:
                self._taken += 1
                return self._waiting.popleft()
            if self._closing:
                return None
            self._idle.append(desk)
        return desk.get()


class _Desk:
    """Where an idle worker finds its next task; None sends it home."""

    def __init__(self) -> None:
        self._task: HTTPChannel | None = None
        self._full = threading.Lock()
        self._full.acquire()

    def put(self, task: HTTPChannel | None) -> None:
        self._task = task
        self._full.release()

    def get(self) -> HTTPChannel | None:
        self._full.acquire()
        task, self._task = self._task, None
        return task
