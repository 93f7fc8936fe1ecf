"""Log lines that nobody can hold: a pipe that is not read, a terminal stopped with Ctrl-S.

The loop logs what it does, on the thread that hears the signals.  A write that blocks there makes it deaf:
a restart is never answered, and a stop is not even heard.  So each line waits for its reader at most PATIENCE,
and as long as one is stuck the next do not wait at all; when there is room again, the log says how many
are missing.  What was refused: a queue and a thread that writes.  Lines would come out of order with what
the application prints, and the last of them, which say why it ended, would be lost.
"""

from __future__ import annotations

import logging
import os
import select
import stat

from ..core.deadline import Deadline

#: seconds
PATIENCE = 1.0
#: a pipe with any room has room for this many bytes
CHUNK = 4096


class Lines(logging.Handler):
    """Writes to descriptor *fd*, and never waits for long."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._shared, self._fd = fd, _unshared(fd)
        self._lost = 0
        self._torn = False  # the last line has no end

    def close(self) -> None:
        """Give back the descriptor, where it is one of our own."""
        if self._fd != self._shared:
            os.close(self._fd)
            self._fd = self._shared
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """One line, and before it the number of those that are missing."""
        try:
            if self._lost and not self._write(self._notice(), Deadline.after(0)):
                self._lost += 1
                return
            self._lost = 0 if self._write(record, Deadline.after(PATIENCE)) else 1
        except Exception:
            self.handleError(record)

    def _notice(self) -> logging.LogRecord:
        text = f"{self._lost} line(s) lost: nobody read this log"
        return logging.LogRecord("gatewaylock.log", logging.WARNING, "", 0, text, None, None)

    def _write(self, record: logging.LogRecord, deadline: Deadline) -> bool:
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        left = memoryview(b"\n" + line if self._torn else line)
        while left:
            if not _has_room(self._fd, deadline):
                return False
            try:
                left = left[os.write(self._fd, left[:CHUNK]) :]
            except BlockingIOError:
                continue  # somebody else was faster: wait again
            self._torn = bool(left)
        return True


def _has_room(fd: int, deadline: Deadline) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(deadline.left() * 1000))


def _unshared(fd: int) -> int:
    """*fd* opened anew without blocking, where it is a pipe or a terminal; itself where that cannot be had.

    Not with O_NONBLOCK on the old one: that would be so for every process that shares it.  Not for a
    file: without the common position, what others write to it would overwrite our lines.
    """
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd):
            return os.open(f"/dev/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        pass
    return fd
