"""The thread that makes what takes a lock, a disk or a moment; and that looks again for who watches."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress

from ..core.deadline import NEVER, Deadline

log = logging.getLogger("gatewaylock.admin")

JOIN = 0.5  #: seconds for it to end

Job = Callable[[], object]


class Maker:
    """Jobs in turn, one at a time; between them *look*, which says when it wants to be called again."""

    def __init__(self, look: Callable[[], Deadline]) -> None:
        self._look = look
        self._next = NEVER
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="gatewaylock-admin-maker", daemon=True)

    def start(self) -> None:
        """Begin.  RuntimeError where no thread can be had."""
        self._thread.start()

    def hire(self, job: Job) -> None:
        """Have *job* done.  Never blocks, from any thread."""
        self._jobs.put(job)

    def look_soon(self) -> None:
        """Something happened: do not wait for the next look."""
        self._jobs.put(self._look_now)

    def close(self) -> None:
        """End after what is there already, if that is soon."""
        self._jobs.put(None)
        self._thread.join(JOIN)

    def _work(self) -> None:
        while True:
            job: Job | None = self._look_now
            with suppress(queue.Empty):
                job = self._jobs.get(timeout=self._next.timeout())
            if job is None:
                return
            try:
                job()
            except Exception:
                log.exception("an admin answer could not be made")

    def _look_now(self) -> None:
        self._next = NEVER  # if it raises, until somebody asks again
        self._next = self._look()
