"""Ends the process when the deadline does, whatever hangs.

Three lines, one behind the other:

    an alarm thread       says because of whom, then ``os._exit(code)``; needs the GIL
    a reporting thread    does the saying, so that a log pipe nobody reads holds only itself
    faulthandler          a C thread, needs no GIL: stacks to stderr and ``_exit(1)``

faulthandler has one timer, and the application may use it for itself.  So the alarm arms it anew every
STEP seconds, while there is a deadline.  What holds the GIL from less than a STEP after such a use on
is ended by nobody.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import queue
import stat
import sys
import threading
from collections.abc import Callable, Sequence

from ..core.deadline import NEVER, Deadline
from ..core.tried import tried
from .blame import told
from .host import Host

log = logging.getLogger("gatewaylock.watchdog")

#: how long each step of the report may take, and how far the second line stands behind the first (seconds)
REPORT, BEHIND = 0.1, 0.2
STEP = 0.25
SHUTDOWN = "shutdown timed out; exiting without full cleanup"


class Alarm(threading.Timer):
    """A Timer to an instant: calls *ring* at *deadline*, and *tick* every STEP seconds until then."""

    def __init__(self, deadline: Deadline, tick: Callable[[], object], ring: Callable[[], object]) -> None:
        super().__init__(deadline.left(), ring)
        self.name, self.daemon = "gatewaylock-watchdog", True  # it keeps nothing alive that has ended in time
        self._deadline, self._tick = deadline, tick

    def run(self) -> None:
        """Until *ring*, or ``cancel``."""
        while not self.finished.wait(min(STEP, self._deadline.left())):
            if self._deadline.passed():
                self.function()
                return
            self._tick()


class Watchdog:
    """One alarm clock.  ``names`` tells the unfinished work when it goes off, ``last_words`` gets it all.

    ``no_later``: when somebody else kills us; the second line stands before that, whatever the deadline.
    Asked whenever that line is armed, with a lock held.
    """

    def __init__(
        self,
        host: Host,
        names: Callable[[], Sequence[str]],
        last_words: Callable[[int, str, Sequence[str]], object] = lambda code, says, left: None,
        no_later: Callable[[], Deadline] = lambda: NEVER,
    ) -> None:
        self._host = host
        self._names, self._last_words, self._no_later = names, last_words, no_later
        self._timer: Alarm | None = None
        self._deadline = NEVER
        self._stderr: int | None = None
        self._lock = threading.Lock()

    @property
    def armed(self) -> bool:
        """Whether something happens at the deadline."""
        return self._timer is not None

    def arm(self, deadline: Deadline, code: int, says: str = SHUTDOWN) -> None:
        """End the process with *code* at *deadline*, with *says* in the log; replaces what was armed before.

        What is armed stays so until the new second line stands, which replaces the old one in one call:
        every other call here lets go of the GIL, and whoever takes it may never give it back.
        """
        with self._lock:
            old_timer, old_stderr = self._timer, self._stderr
            self._timer = Alarm(deadline, self._tick, lambda: self._fire(code, says))
            self._stderr = never_blocking_stderr()
            self._deadline = deadline
            faults = [self._arm_second(), self._arm_first()]
            if old_timer is not None:
                old_timer.cancel()
            if old_stderr is not None:
                tried(os.close, old_stderr)
        for fault in filter(None, faults):
            log.warning("the watchdog %s", fault)  # last: this line may be the one that hangs

    def renew(self) -> None:
        """Arm the second line again, where it is armed: the application may use faulthandler for itself."""
        with self._lock:
            fault = self._arm_second() if self._timer is not None else ""
        if fault:
            log.warning("the watchdog %s", fault)

    def _arm_first(self) -> str:
        assert self._timer is not None
        try:
            self._timer.start()
        except RuntimeError as error:
            return f"has only its second line: {error}"
        return ""

    def _arm_second(self) -> str:
        stderr = sys.__stderr__ if self._stderr is None else self._stderr
        try:
            self._host.dump_later(
                min(self._deadline, self._no_later()).left() + BEHIND, exit=True, file=stderr
            )
        except (OSError, ValueError, RuntimeError, AttributeError) as error:
            return f"has only its first line: {error}"
        return ""

    def disarm(self) -> None:
        """Nothing happens at the deadline any more."""
        with self._lock:
            self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            tried(self._host.cancel_dump)
            self._timer = None
        stderr, self._stderr = self._stderr, None
        if stderr is not None:
            tried(os.close, stderr)

    def end_now(self, code: int, says: str) -> None:
        """End the process with *code*: *says*, the unfinished work and all stacks to the log, as far as it takes them."""
        # Not a SimpleQueue: up to Python 3.12 its get() waits for ever when a signal lands as its time is over.
        steps: queue.Queue[bool] = queue.Queue()
        reporter = threading.Thread(
            target=self._report, args=(code, says, steps.put), name="gatewaylock-report", daemon=True
        )
        try:
            reporter.start()
            while steps.get(timeout=REPORT):
                self._push_second()
        except queue.Empty:
            pass  # it hangs in a step
        except RuntimeError:
            # No thread for it (Python 3.12 has none once the interpreter ends).  The second line, where it
            # stands, comes near and ends a step that hangs, with its own code.
            if self.armed:
                self._deadline = Deadline.after(0)
                self._push_second()
                self._report(code, says, lambda more: self._push_second())
        finally:
            self._host.exit_now(code)

    def _tick(self) -> None:
        """Nothing is logged here: it is this thread that a full pipe must not hold."""
        with self._lock:
            if self._timer is threading.current_thread():
                self._arm_second()

    def _fire(self, code: int, says: str) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # disarmed, or armed anew, while we woke
        self._push_second()
        self.end_now(code, says)

    def _push_second(self) -> None:
        """The first line works: on a busy machine the second would cut its report short."""
        with self._lock:
            if self._timer is not None:
                self._deadline = max(self._deadline, Deadline.after(REPORT))
                self._arm_second()

    def _report(self, code: int, says: str, step: Callable[[bool], object]) -> None:
        """Each step may hang, and is then the last: *step* is called after each, with whether one follows."""
        try:
            if self._stderr is not None:
                faulthandler.dump_traceback(self._stderr, all_threads=True)
            step(True)
            left = self._names()
            self._last_words(code, says, left)  # before the log, which may be a pipe that nobody reads
            step(True)
            for _ in told(self._stderr, says, left):
                step(True)
        finally:
            step(False)


def never_blocking_stderr() -> int | None:
    """A descriptor for stacks that nobody's full pipe can hold: stderr opened anew, non-blocking.

    A new open file description, because O_NONBLOCK on stderr itself would change it for every
    process that shares it.  A socket cannot be opened anew (journald); there a copy has to do.  So it
    does for a file, which holds nobody: two descriptions of one file have two positions in it, and what
    is written by the one (``2> log`` does not append) is written over by the other.
    """
    try:
        if stat.S_ISREG(os.fstat(2).st_mode):
            return os.dup(2)
        return os.open("/dev/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        pass
    try:
        return os.dup(2)
    except OSError:
        return None  # no descriptor left, or no stderr: then stderr itself, as far as there is one
