"""As pid 1 of a container: strangers that became our children are waited for, and nobody else's.

Who outlives its parent becomes a child of pid 1, and as a zombie keeps its pid until pid 1 waits for it.
``waitpid(-1)`` would also take the children that the application waits for: ``subprocess`` then reads an
exit code of 0, whatever it was.  So a zombie is a stranger only when it is none of these:

    a child of another thread     the kernel gives orphans to the main thread, so we look at no other's
    in a Popen                    of subprocess or multiprocessing, by the objects there are
    out of ``os.fork``            it says so itself, before anything else
    waited for within GRACE       by whoever waits in C (``os.system``)

What was refused:

- a small init as pid 1 and the gateway as its child: a program that has threads cannot be forked.
- an audit hook that hears of each new child: it cannot be taken back, and slows down every ``open``.
- a thread in ``waitid(P_ALL, WNOWAIT)``: it returns at once, again and again, while the application has
  not yet waited for a child of its own.

Two kinds are lost to those who wait later than GRACE: of ``os.posix_spawn`` on the main thread, and in a
Popen that ``gc.freeze`` has hidden.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .host import Host, close_after_fork
from .process import children, start_time

log = logging.getLogger("gatewaylock.reaper")

#: seconds that a zombie is left to whoever may wait for it
GRACE = 1.0


class Child(NamedTuple):
    """One, and not another that has its pid later."""

    pid: int
    started: int | None


class Reaper:
    """Looks when SIGCHLD says that there is something to see."""

    def __init__(self, host: Host, grace: float = GRACE) -> None:
        self._host, self._grace = host, grace
        self._signals: queue.SimpleQueue[bool] = queue.SimpleQueue()  # see inbox.py
        self._seen: dict[Child, float] = {}  # since when each zombie has been one; inf: it is somebody's
        self._forked: set[Child] = set()
        self._births: tuple[int, int] | None = None  # a pipe
        self._taken: Any = None  # the handler of SIGCHLD to give back

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Reap inside the block, on the main thread; nothing where there is no need, or the program does it."""
        thread = self._begin() if self._is_needed() else None
        try:
            yield
        finally:
            if thread is not None:
                self._host.handle(signal.SIGCHLD, self._taken)
                self._signals.put(False)
                thread.join(self._grace)
                self._close()

    def _begin(self) -> threading.Thread | None:
        thread = threading.Thread(target=self._work, name="gatewaylock-reaper", daemon=True)
        try:
            self._births = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            close_after_fork(self._in_child)
            thread.start()
        except (OSError, RuntimeError) as error:
            self._close()
            log.warning("orphans that end will stay zombies: %s", error)
            return None
        self._taken = self._host.handle(signal.SIGCHLD, self._on_child)
        self._host.siginterrupt(signal.SIGCHLD, False)  # no system call of anybody ends early for it
        self._signals.put(True)  # for those of the image before us
        return thread

    def _is_needed(self) -> bool:
        """A program with a handler of its own, or that ignores SIGCHLD, has thought of it."""
        if self._host.pid() != 1 or signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
            return False
        return os.path.exists("/proc/1/task/1/children")  # not where the kernel does not tell

    def _on_child(self, number: int, frame: object) -> None:
        self._signals.put(True)

    def _work(self) -> None:
        # Up to Python 3.12 a get() waits for ever when a signal lands in this thread as its time is over.
        self._host.mask(signal.SIG_BLOCK, signal.valid_signals())
        goes_on = True
        while goes_on:
            try:
                goes_on = self._signals.get(timeout=self._next_due())
            except queue.Empty:
                pass
            try:
                self._look()
            except OSError as error:  # out of descriptors: the next SIGCHLD finds them still
                self._seen.clear()
                log.warning("cannot look for orphans that have ended: %s", error.strerror)

    def _next_due(self) -> float | None:
        due = min(self._seen.values(), default=math.inf) + self._grace
        return None if math.isinf(due) else max(0.0, due - time.monotonic())

    def _look(self) -> None:
        zombies, now = self._zombies(), time.monotonic()
        self._seen = {child: self._seen.get(child, now) for child in zombies}
        due = [child for child, since in self._seen.items() if now >= since + self._grace]
        if not due:
            return
        awaited = self._awaited()
        for child in due:
            if awaited is None:
                self._seen[child] = now
            elif child.pid in awaited:
                self._seen[child] = math.inf
            else:
                del self._seen[child]
                self._reap(child.pid)

    def _reap(self, pid: int) -> None:
        try:
            self._host.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            return  # somebody did, in this instant
        log.debug("waited for orphan %d", pid)

    def _zombies(self) -> set[Child]:
        """The main thread's, but for those that were forked."""
        found = {Child(pid, start_time(pid)) for pid in children(1) if _is_zombie(pid)}
        self._forked |= {Child(pid, start_time(pid)) for pid in self._born()}
        self._forked = {child for child in self._forked if start_time(child.pid) == child.started}
        return found - self._forked

    def _born(self) -> list[int]:
        try:
            said = os.read(self._births[0], 65536) if self._births else b""
        except BlockingIOError:
            return []
        return [int.from_bytes(said[at : at + 4], "big") for at in range(0, len(said), 4)]

    @staticmethod
    def _awaited() -> set[int] | None:
        """The pids in all Popen objects; None while one is being made, whose pid nobody knows yet."""
        modules = ("subprocess", "multiprocessing.popen_fork")
        kinds = tuple(sys.modules[name].Popen for name in modules if name in sys.modules)
        # By type() and not isinstance(): a proxy's __class__ may run anything.
        pids: set[int] = set()
        for one in gc.get_objects():
            if issubclass(type(one), kinds):
                pid: int | None = getattr(one, "pid", None)
                if pid is None:
                    return None
                pids.add(pid)
        return pids

    def _in_child(self) -> None:
        """Forked from us: tell our pid, and be no reaper."""
        if self._births is not None:
            try:
                os.write(self._births[1], os.getpid().to_bytes(4, "big"))
            except OSError:
                pass  # thousands at once: whoever waits within GRACE gets its code all the same
            self._close()
        if self._taken is not None:
            self._host.handle(signal.SIGCHLD, self._taken)
            self._taken = None

    def _close(self) -> None:
        if self._births is not None:
            births, self._births = self._births, None
            for fd in births:
                os.close(fd)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return False
