"""A log that nobody reads must hold nobody of ours."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

log = logging.getLogger("gatewaylock.gateway")

#: everything here that logs
SUBSYSTEMS = (
    "admin",
    "audit",
    "callbacks",
    "control",
    "drain",
    "gateway",
    "history",
    "image",
    "inbox",
    "lanes",
    "listeners",
    "lock",
    "notify",
    "reaper",
    "restarts",
    "runs",
    "serve",
    "successor",
    "supervisor",
    "thread",
    "watchdog",
)
PATIENCE = 0.2  # seconds that whoever logs waits for the line to be written
MOST = 1000  # lines that may wait


class Scribe:
    """Takes our lines to the handlers of the log on a thread of its own, and waits for each a moment only.

    A handler writes to a pipe, and a pipe that nobody reads takes 64 KiB and then holds the writer for
    ever.  The loop's thread would then hear neither stop nor restart.  So a line is waited for while
    the log works, as ever, and left behind when it does not.  What the application logs is its own.

    The refused: a QueueHandler (lines would come later than what they tell of, and those of a process
    that ends not at all); making the pipe non-blocking (it is shared with other processes).
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._records: deque[logging.LogRecord] = deque()
        self._taken = self._given = self._lost = 0
        self._stuck = self._ended = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._speak, name="gatewaylock-log", daemon=True)

    @contextmanager
    def speaks(self) -> Iterator[None]:
        """Our lines go this way inside the block."""
        loggers = [logging.getLogger(f"gatewaylock.{name}") for name in SUBSYSTEMS]
        try:
            self._thread.start()
        except RuntimeError as error:
            log.warning("a log that nobody reads would hold us: %s", error)
            yield
            return
        for logger in loggers:
            logger.addFilter(self.take)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(self.take)
            self._end()

    def take(self, record: logging.LogRecord) -> bool:
        """A filter for ``logging``: False, for the record goes its way here; True where it must not."""
        if os.getpid() != self._pid or threading.current_thread() is self._thread:
            return True  # a forked child has no such thread
        with self._changed:
            if len(self._records) >= MOST:
                self._lost += 1
                return False
            self._records.append(record)
            self._taken += 1
            number = self._taken
            self._changed.notify_all()
            patience = 0 if self._stuck else PATIENCE
            self._stuck = not self._changed.wait_for(lambda: self._given >= number, patience)
        return False

    def _speak(self) -> None:
        while (record := self._next()) is not None:
            self._attempt(logging.getLogger(record.name).callHandlers, record)
            with self._changed:
                self._given += 1
                self._stuck = False
                lost, self._lost = self._lost, 0
                self._changed.notify_all()
            if lost:
                self._attempt(log.warning, "%d lines are missing here: nobody read the log", lost)

    def _next(self) -> logging.LogRecord | None:
        with self._changed:
            self._changed.wait_for(lambda: self._records or self._ended)
            return self._records.popleft() if self._records else None

    def _attempt(self, call: Callable[..., object], *args: object) -> None:
        """A handler that raises is as little our end as one that logging itself catches; nor is a broken stderr."""
        try:
            call(*args)
        except BaseException:
            with suppress(BaseException):
                if logging.raiseExceptions and sys.stderr is not None:
                    traceback.print_exc()

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(PATIENCE)
