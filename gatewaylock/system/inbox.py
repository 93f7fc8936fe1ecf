"""Signals in, messages out: the only place the loop listens to."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import queue
import select
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from types import FrameType
from typing import Any, NamedTuple

from ..core.deadline import NEVER, Deadline
from ..core.errors import GatewayError
from ..core.tried import tried
from .host import Host, around_fork

log = logging.getLogger("gatewaylock.inbox")


class Meaning(Enum):
    """What the loop is to make of a signal."""

    STOP = "stop"
    RESTART = "restart"  # with a permit, or where they are allowed
    RELOAD = "reload"  # a restart whose sender had the right to ask


class Rule(NamedTuple):
    """What a signal means.  The handlers, the README's table and ``--help`` come from these rows."""

    signal: str
    action: str
    says: str


RULES = (
    Rule("SIGTERM", "stop", "drain, close, exit 0"),
    Rule("SIGINT", "stop", "the same, from a terminal"),
    Rule("SIGUSR1", "restart", "drain, close, come back; needs a permit or --allow-sigusr1"),
    Rule("SIGHUP", "either", "stop when the terminal closes, restart when systemd reloads"),
)


def meaning_of(number: int, hangup: Meaning) -> Meaning:
    """What signal *number* means where SIGHUP means *hangup*."""
    [rule] = [rule for rule in RULES if getattr(signal, rule.signal) == number]
    return hangup if rule.action == "either" else Meaning(rule.action)


def signal_numbers() -> tuple[int, ...]:
    """The numbers of the signals that RULES names, in its order."""
    return tuple(getattr(signal, rule.signal) for rule in RULES)


#: of one signal, waiting to be heard: the third stop is the last that means more than the one before it
AS_GOOD_AS_MORE = 3

PAUSE = 0.1  # seconds to the next look when the system has no memory for one

#: SIGTERM and SIGUSR1 are ours whatever somebody before us thought of them: a stop is never ignored
MAY_BE_IGNORED = (signal.SIGINT, signal.SIGHUP)


class Inbox:
    """Messages for the loop, from signal handlers (numbers) and from other threads (anything).

    A handler puts a number into a SimpleQueue and does nothing else: CPython documents its ``put`` as
    reentrant, where ``Event.set``, ``Queue.put`` and logging deadlock or raise when a signal lands
    inside them.  The main thread waits on the wake-up descriptor and not on the queue: one that
    blocks on a lock is not woken by a signal that the kernel gave to another thread.

    Of a signal that comes faster than it is heard only AS_GOOD_AS_MORE wait, as the kernel merges those that
    are pending: a stop must not wait until thousands of restarts that were asked for before it were refused.

    The descriptor is a pipe, so that 65,536 bytes fit and it can go through an exec: a signal that
    some thread caught in the last microseconds of the old image is then still in it.
    """

    def __init__(self, host: Host, inherited: tuple[int, int] | None = None) -> None:
        self._host = host
        self._messages: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._batch: deque[object] = deque()  # taken out of them
        self._read, self._write = inherited or os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._open, self._kept = True, False
        self._borrowed: dict[int, Any] = {}  # number -> the handler to give back
        if inherited:
            self._take_over(inherited)
        self._masks = threading.local()
        around_fork(self._before_fork, self._after_fork, self._in_child)

    def _take_over(self, pipe: tuple[int, int]) -> None:
        """What the last image did not get to read: our signals only, whoever else's handlers it had."""
        for fd in pipe:
            self._host.set_inheritable(fd, False)
        late = [number for number in self._bytes() if number in signal_numbers()]
        for number in late:
            self._messages.put(number)
        if late:
            os.write(self._write, bytes(late))  # back again, for the watcher of the first start

    def on_signal(self, number: int, frame: FrameType | None = None) -> None:
        """The handler.  No logging, no locks, no decisions here."""
        self._messages.put(number)

    def post(self, message: object) -> None:
        """Leave *message* for the loop, from any thread.  Never blocks."""
        self._messages.put(message)
        self.wake()

    def wake(self) -> bool:
        """Have whoever waits look again; False when that cannot be."""
        for _ in range(2 if self._open else 0):
            try:
                os.write(self._write, b"\0")
            except BlockingIOError:
                pass  # full: there is something to read anyway
            except OSError:
                continue  # no message may lie there until the next one comes
            return True
        return False

    def wait(self, deadline: Deadline = NEVER) -> object | None:
        """The next message; None when *deadline* passes first.  For one thread only."""
        while True:
            try:
                return self._batch.popleft()
            except IndexError:
                if not self._collect():
                    if not self.readable(deadline):
                        return None
                    self._bytes()

    def readable(self, deadline: Deadline) -> bool:
        """Wait until something was posted or signalled; whether it was before *deadline*."""
        poller = select.poll()  # not select(): it fails for descriptors of 1024 and more
        poller.register(self._read, select.POLLIN)
        timeout = deadline.timeout()
        try:
            return bool(poller.poll(None if timeout is None else timeout * 1000))
        except OSError as error:
            self._rest(error)
            return True

    def signals(self) -> list[int]:
        """Take the signals whose wake-up bytes are there, without taking the messages.

        For the watcher of a start: it sees them although the main thread, and so every Python
        handler, is busy in ``start()``.
        """
        return self._bytes()

    def pending(self) -> list[object]:
        """Everything left, taken out: for the one who answers it in the loop's place at the end."""
        left = []
        while self._batch or self._collect():
            left.append(self._batch.popleft())
        return left

    def _collect(self) -> bool:
        """Make a batch of what has come, without the signals too many; whether anything had."""
        waiting: Counter[int] = Counter()
        with suppress(queue.Empty):
            for _ in range(self._messages.qsize()):  # no more: a handler may add them as fast as we look
                message = self._messages.get_nowait()
                if isinstance(message, int):
                    waiting[message] += 1
                    if waiting[message] > AS_GOOD_AS_MORE:
                        continue
                self._batch.append(message)
        return bool(self._batch)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Our handlers inside the block, the program's own again after it, also when half of it fails.

        An ignored SIGINT or SIGHUP stays ignored: a shell started us in the background, or nohup, and means it.
        """
        with ExitStack() as give_back:
            try:
                previous = self._host.wakeup_fd(self._write, warn_on_full_buffer=False)
            except ValueError as error:
                hint = "signal handlers belong to the main thread: run() there, or with install_signals=False"
                raise GatewayError(f"{hint} ({error})") from error
            give_back.callback(self._end_loan, previous)
            for number in signal_numbers():
                if number in MAY_BE_IGNORED and self._host.handled(number) is signal.SIG_IGN:
                    continue
                before = self._host.handle(number, self.on_signal)
                # None: a handler that was not installed from Python, which cannot be put back
                self._borrowed[number] = signal.SIG_DFL if before is None else before
            yield

    def rearm(self) -> None:
        """Wait for signals again although ``start()`` took the wake-up descriptor (asyncio.run does)."""
        if not self._borrowed:
            return
        self._host.wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in self._borrowed:
            if self._host.handled(number) != self.on_signal:
                name = signal.Signals(number).name
                log.warning("start() has a handler of its own for %s: we no longer see that signal", name)

    def keep(self) -> None:
        """The process is about to end: give back nothing, so that somebody may watch the signals until it has.

        A default disposition would turn a finished run into a death by signal, and blocking would hold
        for this thread alone.
        """
        self._kept = True
        self._bytes()  # of signals that have been heard: only what comes now is news

    def ignore(self) -> None:
        """Nobody can hear a signal any more."""
        for number in self._borrowed:
            tried(self._host.handle, number, signal.SIG_IGN)

    def _end_loan(self, wakeup: int) -> None:
        if not self._kept:
            self._give_back()
            tried(self._host.wakeup_fd, wakeup)

    def _give_back(self) -> None:
        while self._borrowed:
            number, handler = self._borrowed.popitem()
            tried(self._host.handle, number, handler)

    def _before_fork(self) -> None:
        """A signal for the child must not find our handler there, which would tell us to stop."""
        self._masks.before = self._host.mask(signal.SIG_BLOCK, signal_numbers()) if self._borrowed else None

    def _after_fork(self) -> None:
        if self._masks.before is not None:
            self._host.mask(signal.SIG_SETMASK, self._masks.before)

    def _in_child(self) -> None:
        """In a forked child: it must end by SIGTERM, and its signals are no bytes for a pipe of ours."""
        self._kept = False
        if self._borrowed:
            signal.set_wakeup_fd(-1)
            self._give_back()
        self.close()
        self._after_fork()

    def descriptors(self) -> tuple[int, int]:
        """(read, write) for an exec."""
        return self._read, self._write

    def close(self) -> None:
        """Give the descriptors back, unless they are kept."""
        if self._open and not self._kept:
            self._open = False
            try:
                os.close(self._read)
            finally:
                os.close(self._write)

    def _bytes(self) -> list[int]:
        try:
            return [number for number in os.read(self._read, 65536) if number]
        except BlockingIOError:
            return []
        except OSError as error:
            if error.errno == errno.EBADF:
                raise  # somebody closed what is ours: no signal will ever be heard again
            self._rest(error)
            return []

    def _rest(self, error: OSError) -> None:
        log.warning("the inbox is looked into again: %s", error)
        threading.Event().wait(PAUSE)


@atexit.register
def _at_the_very_end() -> None:
    """The interpreter is about to give each signal with a Python handler its default action: a death.

    Registered when this is imported, for hooks run last in, first out: those of the application, which
    may hang, come before it, and a stop is still heard in them.
    """
    for number in signal_numbers():
        owner = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(owner, Inbox):
            owner.ignore()
