"""One name, one holder.  The kernel decides; the file's text only describes."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
from dataclasses import dataclass
from typing import Any

from ..core.deadline import Deadline
from ..core.errors import ConfigError, GatewayLockError, RunDirError
from . import flock, guard, process
from .host import close_after_fork
from .rundir import RunDir, check_name

log = logging.getLogger("gatewaylock.lock")


@dataclass(frozen=True)
class Holder:
    """Who says that it holds a lock: ``pid``, ``age`` in seconds, ``command`` line."""

    pid: int
    age: float
    command: str

    def __str__(self) -> str:
        return f'held for {_for_people(self.age)} by "{self.command or "unknown"}"'


class GatewayLock:
    """The single-instance lock of gateway *name*; usable alone, as a context manager.

    ``flock`` on a private file in the run directory: it ends with the process that holds it, however
    that ends.  The file is never deleted, and a guard (see guard.py) holds where somebody else does.
    """

    def __init__(self, name: str = "gateway", *, run_dir: str | None = None, port: int | None = None) -> None:
        self.name = check_name(name)
        self.port = port
        self._run_dir = RunDir.open(run_dir)
        self._file = f"{name}.lock"
        self._fd: int | None = None
        self._guard: socket.socket | None = None
        close_after_fork(self._close_copies)

    @property
    def path(self) -> str:
        """The lock file."""
        return os.path.join(self._run_dir.path, self._file)

    @property
    def held(self) -> bool:
        """Whether we hold the name."""
        return self._fd is not None

    def acquire(self, timeout: float = 5.0) -> None:
        """Take the name, waiting up to *timeout* seconds for its holder to go.

        GatewayLockError when it stays held, RunDirError when the directory cannot be trusted or the
        file cannot be written.  Nothing is changed then.
        """
        deadline = Deadline.after(timeout)
        while not self._try(deadline):
            if deadline.passed():
                raise self._taken(timeout)

    def ensure(self, timeout: float = 5.0) -> None:
        """Hold the name on the file that the others see: take it, or take it again, where we do not.

        Errors as for ``acquire``.  Somebody may have deleted the file under us: the guard has kept
        the name, and we lock the new file before another life begins.
        """
        if self._fd is None:
            self.acquire(timeout)
        elif not self._run_dir.is_linked(self._file, self._fd):
            self._renew(timeout)

    def _renew(self, timeout: float) -> None:
        """Lock the file that is there now, and hold the old one until we do."""
        old, self._fd = self._fd, None
        try:
            RunDir.open(self._run_dir.path)  # it may have been wiped as a whole
            self.acquire(timeout)
        except ConfigError as error:
            log.warning("the lock file cannot be made anew, the guard alone keeps the name: %s", error)
            self._fd, old = old, None
        except GatewayLockError:
            self._fd, old = old, None  # what we had; whether it still serves us is the caller's question
            raise
        finally:
            if old is not None:
                os.close(old)

    def release(self) -> None:
        """Give the name up; nothing happens when we do not hold it.

        By closing only: LOCK_UN through our descriptor would take the lock from a process that
        inherited a copy.
        """
        self._close_copies()

    def holder(self) -> Holder | None:
        """Who describes itself as the holder and lives; None otherwise.  For people, never for decisions."""
        payload = self._payload()
        pid, started = payload.get("pid"), payload.get("start_time")
        if not isinstance(pid, int) or not (started is None or isinstance(started, int)):
            return None
        if not process.is_alive(pid, started):
            return None
        since = payload.get("monotonic")
        age = time.monotonic() - since if isinstance(since, (int, float)) else 0.0
        return Holder(pid, max(0.0, age), process.command(pid))

    def descriptors(self) -> tuple[int, int]:
        """(lock, guard) for a hand-over; -1 for what there is not."""
        return (-1 if self._fd is None else self._fd, -1 if self._guard is None else self._guard.fileno())

    def describe(self) -> None:
        """Write who we are into the file that we hold; an error is only logged: it decides nothing."""
        if self._fd is not None:
            try:
                self._write_payload(self._fd)
            except ConfigError as error:
                log.warning("%s", error)

    def adopt(self, lock_fd: int, guard_fd: int) -> bool:
        """Take over descriptors that came through an exec; whether they prove that we hold this lock.

        The proof: it is the file that the others see, and locking it once more succeeds at once.
        """
        if lock_fd < 0 or not flock.is_open(lock_fd):
            return False
        if not self._run_dir.is_linked(self._file, lock_fd) or not flock.is_ours(lock_fd):
            return False
        os.set_inheritable(lock_fd, False)
        self._fd = lock_fd
        if guard_fd >= 0 and flock.is_open(guard_fd):
            self._guard = socket.socket(fileno=guard_fd)
            self._guard.set_inheritable(False)
        return True

    def __enter__(self) -> GatewayLock:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def _try(self, deadline: Deadline) -> bool:
        """One go: lock the file, see that it is still the file, take the guard, describe ourselves."""
        fd = self._run_dir.open_file(self._file, os.O_RDWR | os.O_CREAT)
        try:
            if not flock.lock_until(fd, deadline):  # has closed, or will close, fd
                return False
            if not self._run_dir.is_linked(self._file, fd):
                os.close(fd)
                return False
            if self._guard is None:
                self._guard = guard.take(self.path)
            self._write_payload(fd)
        except BlockingIOError:
            os.close(fd)
            guard.wait_free(self.path, deadline)
            return False
        except BaseException:
            os.close(fd)
            self._close_copies()
            raise
        self._fd = fd
        return True

    def _write_payload(self, fd: int) -> None:
        payload = {
            "pid": os.getpid(),
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "monotonic": time.monotonic(),
            "start_time": process.start_time(os.getpid()),
            "name": self.name,
            "port": self.port,
        }
        text = json.dumps(payload).encode() + b"\n"
        try:
            if os.pwrite(fd, text, 0) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(fd, len(text))
        except OSError as error:
            why = f"{error.strerror}: make room, or choose another --run-dir"
            raise ConfigError(f"lock file {self.path}: {why}") from error

    def _payload(self) -> dict[str, Any]:
        try:
            payload = json.loads(self._run_dir.read(self._file, 65536))
        except (OSError, RunDirError, ValueError):
            return {}
        return payload if isinstance(payload, dict) else {}

    def _taken(self, timeout: float) -> GatewayLockError:
        holder = self.holder()
        if holder is None:
            detail = f"{self.path} is locked, by a process that does not say who it is"
            return GatewayLockError(None, timeout, detail)
        return GatewayLockError(holder.pid, timeout, str(holder))

    def _close_copies(self) -> None:
        fd, self._fd = self._fd, None
        held, self._guard = self._guard, None
        try:
            if fd is not None:
                os.close(fd)
        finally:
            if held is not None:
                held.close()


def _for_people(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
