"""Wait for what is under way until one instant; ask the late to give up; name what is left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..core.deadline import NEVER, Deadline
from ..core.plan import DrainReport
from .lanes import Lanes
from .runs import Run, Runs

log = logging.getLogger("gatewaylock.drain")

COMPACTING = 1.0  # seconds that compacting runs get to be asked before the count is made
ASKERS = 64  # threads that call abort callbacks, at most
LAST_WORD = 0.1  # seconds past the deadline that the callbacks of the late get to be called in


class Drain:
    """Ask, wait, insist, report.  Tasks cannot be aborted: after the wait, only runs get a grace.

    Tasks and runs are waited for together, on the condition they share (*changed*): what counts is
    what is live at each moment, not what was there at the beginning.  Admission must be closed
    before; the drain leaves it and everything else as it is.

    Abort callbacks are foreign code and may hang, so they are called on daemon threads, up to 64 at once.
    One that works returns in microseconds and is waited for, so that no process leaves before its
    runs were told; one that hangs costs ``LAST_WORD`` seconds and no more.
    """

    def __init__(self, lanes: Lanes, runs: Runs, changed: threading.Condition) -> None:
        self._lanes, self._runs, self._changed = lanes, runs, changed
        self._deadline = NEVER
        self._before = ""

    @property
    def until(self) -> Deadline:
        """When the drain under way gives up waiting; NEVER while there is none.  It may move earlier."""
        return self._deadline

    def run(
        self,
        deadline: Deadline,
        *,
        before: str = "restart",
        timeout_ms: int,
        grace: float = 0.0,
        last: Callable[[], Deadline] = lambda: NEVER,
        early: Callable[[], float] = lambda: 0.0,
    ) -> DrainReport:
        """Drain until *deadline*; runs that are aborted then get *grace* seconds to end, but not past *last()*.

        Where there are runs they are aborted *early()* seconds before that, and tasks have until *deadline*.
        *before* and *timeout_ms* are for the log: "restart" or "stop", how long.
        The report counts what was there once compacting runs had been asked to give up.
        """
        with self._changed:
            self._deadline, self._before = min(self._deadline, deadline), before
        self._ask_compacting()
        tasks, runs = self._lanes.total(), self._runs.active_count()
        left: tuple[str, ...] = ()
        if tasks or runs:
            log.info(
                "draining %d active task(s) and %d active embedded run(s) before %s (timeout %dms)",
                tasks,
                runs,
                before,
                timeout_ms,
            )
            left = self._see_off(grace, last, early)
        with self._changed:
            self._deadline = NEVER
        return DrainReport(tasks, runs, left)

    def hasten(self, deadline: Deadline, *, before: str | None = None) -> None:
        """End the drain under way, or the next one, no later than *deadline*.  From any thread.

        *before* replaces the word in the log: a restart that has become a "stop".
        """
        with self._changed:
            self._deadline = min(self._deadline, deadline)
            self._before = before or self._before
            self._changed.notify_all()

    def _see_off(
        self, grace: float, last: Callable[[], Deadline], early: Callable[[], float]
    ) -> tuple[str, ...]:
        if self._wait(
            self._quiet, lambda: self._deadline.earlier(early() if self._runs.active_count() else 0.0)
        ):
            log.info("all active work drained")
            return ()
        log.warning("drain timeout reached; proceeding with %s", self._before)
        self._insist()
        patience = Deadline.after(grace)
        self._wait(lambda: not self._runs.active_count(), lambda: min(patience, last()))
        self._wait(self._quiet, lambda: self._deadline)
        left = (*self._lanes.live(), *self._runs.live())
        for name in left:
            log.warning("still active: %s", name)
        return left

    def _quiet(self) -> bool:
        return not (self._lanes.total() or self._runs.active_count())

    def _wait(self, over: Callable[[], bool], until: Callable[[], Deadline]) -> bool:
        """Wait for *over*; False when *until*, asked again at each change, passes first."""
        with self._changed:
            while not over():
                deadline = until()
                if deadline.passed():
                    return False
                self._changed.wait(deadline.timeout())
            return True

    def _ask_compacting(self) -> None:
        patience = Deadline.after(COMPACTING)
        asked = self._each(lambda run: run.compacting() and run.abort())
        self._wait(asked, lambda: min(patience, self._deadline))

    def _insist(self) -> None:
        patience = Deadline.after(LAST_WORD)
        asked = self._each(Run.abort)
        self._wait(asked, lambda: patience)

    def _each(self, ask: Callable[[Run], object]) -> Callable[[], bool]:
        """Call *ask* with each run on daemon threads; what says whether that is over."""
        runs = self._runs.present()
        unasked, waiting = set(runs), iter(runs)

        def following() -> Run | None:
            with self._changed:
                return next(waiting, None)

        def work() -> None:
            while run := following():
                try:
                    ask(run)
                finally:
                    with self._changed:
                        unasked.discard(run)
                        self._changed.notify_all()

        for _ in range(min(len(runs), ASKERS)):
            threading.Thread(target=work, name="gatewaylock-abort", daemon=True).start()
        return lambda: not unasked
