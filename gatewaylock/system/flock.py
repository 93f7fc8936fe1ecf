"""The lock of an open file: taken, waited for, proved.  The only room that knows portalocker."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading

from ..core.deadline import Deadline
from ..core.errors import GatewayLockError

log = logging.getLogger("gatewaylock.lock")


def is_ours(fd: int) -> bool:
    """Whether the open file *fd* has the lock already: to lock it once more succeeds at once.

    By the bare system call, which portalocker makes too: to import it would cost each restart 15 ms, of
    the 165 from the old life's end to the next one's beginning.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if not isinstance(error, BlockingIOError):
            log.warning("cannot lock: %s", error)
        return False
    return True


def lock(fd: int, *, block: bool) -> bool:
    """Lock *fd*; False where somebody else has it and *block* is false.  GatewayLockError when it cannot be tried."""
    # Imported here: it costs 50 ms (130 where redis is installed), which only a holder has to pay.
    import portalocker

    flags = portalocker.LockFlags.EXCLUSIVE
    try:
        portalocker.lock(fd, flags if block else flags | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked:
        return False
    except portalocker.LockException as error:
        raise GatewayLockError(None, 0.0, f"cannot lock: {error}") from error
    return True


def lock_until(fd: int, deadline: Deadline) -> bool:
    """Lock *fd* or, late, close it.

    A blocking ``flock`` wakes within 0.1 ms of the holder's end, where a polling one takes 50 to 200,
    but it cannot be called off.  So a thread waits in it; one that we gave up on closes its
    descriptor when it gets the lock at last.
    """
    if lock(fd, block=False):
        return True
    waiter = _Waiter(fd)
    if not deadline.passed():
        threading.Thread(target=waiter.wait, name="gatewaylock-lock-wait", daemon=True).start()
        waiter.woken.wait(deadline.timeout())
    else:
        waiter.ended = True
    return waiter.take()


class _Waiter:
    """A blocking flock that can be abandoned: whoever comes second, thread or taker, closes."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.woken = threading.Event()
        self.ended = self._got = self._abandoned = False
        self._decided = threading.Lock()

    def wait(self) -> None:
        """On a thread: until the lock is ours, or whatever there is to say."""
        got = False
        try:
            got = lock(self.fd, block=True)
        except GatewayLockError as error:
            log.warning("%s", error)
        with self._decided:
            self.ended, self._got = True, got
            if self._abandoned:
                os.close(self.fd)
        self.woken.set()

    def take(self) -> bool:
        """Whether it is; if not, it is given up."""
        with self._decided:
            if not self._got:
                self._abandoned = True
                if self.ended:
                    os.close(self.fd)
            return self._got


def is_open(fd: int) -> bool:
    """Whether *fd* is a descriptor at all."""
    try:
        os.fstat(fd)
    except OSError as error:
        return error.errno != errno.EBADF
    return True
