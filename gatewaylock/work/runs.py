"""Long work that can be asked to give up.  A registry: who runs, and how to ask."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from types import TracebackType

from .names import callable_or_raise, quoted, some

log = logging.getLogger("gatewaylock.runs")


class Run:
    """One registered run.  ``with runs.register(...)`` ends it however the block is left."""

    def __init__(
        self,
        id: str,
        abort: Callable[[], object],
        is_compacting: Callable[[], bool],
        ended: Callable[[Run], None],
    ) -> None:
        self.id = id
        self._abort, self._is_compacting, self._ended = abort, is_compacting, ended
        self.since = self.began = time.monotonic()
        #: for people; 0 until somebody looks at it
        self.number = 0

    def end(self) -> None:
        """It is over.  Changes nothing when another run took its id, or when called again."""
        self._ended(self)

    def abort(self) -> bool:
        """Ask it to give up; False when its callback raised.  It stays registered until it ends."""
        try:
            self._abort()
        except (Exception, SystemExit) as error:
            log.warning("abort of run %s failed: %r", quoted(self.id), error)
            return False
        return True

    def compacting(self) -> bool:
        """Whether it does maintenance that is safe to abort; a callback that raises means no."""
        try:
            return bool(self._is_compacting())
        except (Exception, SystemExit) as error:
            log.warning("is_compacting of run %s failed: %r", quoted(self.id), error)
            return False

    def name(self) -> str:
        """For logs: ``run "chat-7", running 61.0 s``."""
        return f"{self.title()}, running {time.monotonic() - self.began:.1f} s"

    def title(self) -> str:
        """For people, on one line: ``run "chat-7"``."""
        return f"run {quoted(self.id)}"

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


class Runs:
    """The runs of a gateway, by id.  Callbacks are called without any lock held.

    ``changed`` is notified when a run ends; a drain waits on the same one for tasks and runs.
    """

    def __init__(self, changed: threading.Condition | None = None) -> None:
        self._changed = changed or threading.Condition(threading.Lock())
        self._runs: dict[str, Run] = {}

    def register(
        self, id: str, *, abort: Callable[[], object], is_compacting: Callable[[], bool] = lambda: False
    ) -> Run:
        """Register the run *id*, in place of one that is there already.

        *abort* asks it to give up; it SHOULD return at once and MAY raise (then it did not work).
        *is_compacting* says whether the run does maintenance that is safe to abort just now.
        Nothing is refused here, not even while the gateway drains, which then waits for one run more: where
        runs follow each other, look at ``lanes.admits()`` before each.  TypeError for what cannot be called.
        """
        callable_or_raise("abort", abort)
        callable_or_raise("is_compacting", is_compacting)
        run = Run(id, abort, is_compacting, self._end)
        with self._changed:
            self._runs[id] = run
            self._changed.notify_all()  # whoever waits for the one it replaces
        return run

    def abort(self, id: str | None = None, *, mode: str | None = None) -> bool:
        """Ask the run *id*, or with *mode* every ("all") or each compacting ("compacting") one, to give up.

        True when at least one was asked successfully.  ValueError for another *mode*, or for
        neither or both of *id* and *mode*.
        """
        if (id is None) == (mode is None) or mode not in (None, "all", "compacting"):
            raise ValueError(f"abort needs an id, or mode 'all' or 'compacting': got {id!r}, {mode!r}")
        if id is not None:
            run = self._runs.get(id)
            return run is not None and run.abort()
        asked = [run.abort() for run in self.present() if mode == "all" or run.compacting()]
        return any(asked)

    def active_count(self) -> int:
        """How many there are.  Takes no lock."""
        return len(self._runs)

    def present(self) -> tuple[Run, ...]:
        """Those registered now, oldest first."""
        with self._changed:
            return tuple(self._runs.values())

    def live(self) -> tuple[str, ...]:
        """Those registered now by name, for logs: at most 20 and how many more."""
        runs = self.present()
        return some((run.name() for run in runs), len(runs))

    def wait_for_active(self, timeout: float | None = None) -> bool:
        """Wait up to *timeout* seconds (None: for ever) until there is no run; whether there is none."""
        return self._wait(lambda: not self._runs, timeout)

    def wait_for(self, id: str, timeout: float | None = None) -> bool:
        """Wait until the run that is *id* now has ended or was replaced; True at once when there is none."""
        run = self._runs.get(id)
        return run is None or self._wait(lambda: self._runs.get(id) is not run, timeout)

    def _wait(self, over: Callable[[], bool], timeout: float | None) -> bool:
        limit = None if timeout is None or math.isinf(timeout) else min(timeout, threading.TIMEOUT_MAX)
        with self._changed:
            return self._changed.wait_for(over, limit)

    def _end(self, run: Run) -> None:
        with self._changed:
            if self._runs.get(run.id) is run:
                del self._runs[run.id]
                self._changed.notify_all()
