"""What systemd is told: datagrams to the socket that NOTIFY_SOCKET names, and who may send them.

Ours, and no library's.  What PyPI has was tried and refused (2026): sdnotify and sd-notify have had no
release since 2017 and 2020; those two and systemd-watchdog block in ``sendto`` while pid 1 does not
read, raise when it is gone, and can pass no descriptor; cysystemd is a binary of 2.4 MB that cannot
either; systemd-python has to be compiled against libsystemd.  FD store and barrier need descriptors.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
import time
from array import array
from collections import deque
from collections.abc import Mapping, MutableMapping, Sequence

from ..core.deadline import Deadline
from .host import close_after_fork
from .image import PASSED

log = logging.getLogger("gatewaylock.notify")

#: what systemd sets for the one process that it started, and for nobody below it
OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
#: those that name the process itself
NAMED = ("SYSTEMD_EXEC_PID", "WATCHDOG_PID")

GONE = (errno.ECONNREFUSED, errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE)
UNSENT = 64  # messages that wait for room in the manager's queue, at most
TEXT = 240  # characters of a status


def address(environ: Mapping[str, str], pid: int) -> str:
    """Where process *pid* tells systemd how it is; empty where it is not the one whom systemd listens to.

    Every shell below a service inherits the variable.  SYSTEMD_EXEC_PID names the process that systemd
    started, or (see ``for_successor``) the one that took its place.  Where there is none, as before
    systemd 248 and in a container, the parent has to be systemd or pid 1, or we pid 1 ourselves.
    """
    path = environ.get("NOTIFY_SOCKET", "")
    told = environ.get("GATEWAY_SUPERVISOR")
    if not path.startswith(("/", "@")) or told not in (None, "", "systemd"):
        return ""
    started = environ.get("SYSTEMD_EXEC_PID")
    ours = started == str(pid) if started else pid == 1 or _is_child_of_systemd()
    return path if ours or told else ""


def can_move_main_pid(environ: Mapping[str, str], pid: int) -> bool:
    """Whether systemd can be told by *pid* that another process is the service's from now on."""
    return bool(environ.get("SYSTEMD_EXEC_PID")) and bool(address(environ, pid))


def watchdog(environ: Mapping[str, str], pid: int) -> float:
    """Seconds within which systemd wants a sign of life of process *pid*; 0.0 where it wants none."""
    asked = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID") or str(pid)
    return int(asked) / 1e6 if asked.isascii() and asked.isdigit() and meant == str(pid) else 0.0


def take(environ: MutableMapping[str, str], pid: int) -> str:
    """``address``, with what was meant for us alone removed: no child of ours speaks in our name."""
    found = address(environ, pid)
    if found:
        for name in OURS:
            environ.pop(name, None)
    return found


def for_child(environ: Mapping[str, str]) -> dict[str, str]:
    """*environ* for a process that systemd does not know."""
    return {name: value for name, value in environ.items() if name not in (*OURS, *PASSED)}


def for_successor(environ: Mapping[str, str], pid: int, to_come: str) -> dict[str, str]:
    """*environ* for the process that takes the place of *pid*; *to_come* stands for its pid."""
    return {
        name: to_come if name in NAMED and value == str(pid) else value
        for name, value in environ.items()
        if name not in PASSED
    }


def plain(text: str) -> str:
    """*text* as the one line of a status: its first line and its last, nothing that steers a terminal."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    short = " ... ".join(dict.fromkeys((lines[0], lines[-1]))) if lines else ""
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
    return "".join(escaped).encode("utf-8", "replace").decode()[:TEXT]


def reloading() -> tuple[str, str]:
    """The two lines that begin a reload; the instant tells systemd which of its own requests they answer."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


class Manager:
    """The other end.  Nothing here raises or blocks, but for ``flush`` and ``barrier``, which have a deadline.

    Messages arrive in the order in which they were told.  One that finds the manager's queue full (pid 1
    reloads, or is starved) waits here, and goes ahead of the next one.
    """

    def __init__(self, path: str) -> None:
        self._path = "\0" + path[1:] if path.startswith("@") else path
        self._lock = threading.Lock()
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._complained = False
        self._socket: socket.socket | None = None
        self._inode = 0
        with self._lock:
            self._connect()  # now: there may be no descriptor left when it matters
        close_after_fork(self._forget)

    def tell(self, *lines: str, fds: Sequence[int] = ()) -> None:
        """One message; *fds* go with it, and stay open here."""
        with self._lock:
            try:
                copies = tuple(os.dup(fd) for fd in fds)
            except OSError as error:
                self._complain(error)
                return
            text = "\n".join(lines).encode("utf-8", "replace")
            if self._unsent and _is_status(text) and _is_status(self._unsent[-1][0]):
                self._unsent.pop()  # nobody misses the last one
            self._unsent.append((text, copies))
            self._send()
            while len(self._unsent) > UNSENT:
                self._drop()

    def ping(self, line: str) -> None:
        """A message that is worth nothing later: it is sent now or never."""
        with self._lock:
            if self._send():
                self._put(line.encode(), ())

    def flush(self, deadline: Deadline) -> bool:
        """Wait until everything is in the manager's queue; whether it is, by *deadline*."""
        while True:
            with self._lock:
                if self._send():
                    return True
                sock = self._socket
            if sock is None or deadline.passed():
                return False
            poller = select.poll()  # a connected datagram socket is writable when the other side has room
            try:
                poller.register(sock, select.POLLOUT)
            except (ValueError, OSError):
                return False
            poller.poll(deadline.left() * 1000)

    def barrier(self, deadline: Deadline) -> bool:
        """Wait until the manager has acted on everything told so far; whether it has, by *deadline*.

        It gets one end of a pipe, and closes it when its turn comes.
        """
        try:
            read, write = os.pipe2(os.O_CLOEXEC)
        except OSError as error:
            self._complain(error)
            return False
        try:
            self.tell("BARRIER=1", fds=(write,))
        finally:
            os.close(write)
        try:
            if not self.flush(deadline):
                return False
            poller = select.poll()
            poller.register(read, 0)  # POLLHUP is always reported
            return bool(poller.poll(deadline.left() * 1000))
        finally:
            os.close(read)

    def unsay(self) -> None:
        """What could not be sent so far is not to be sent."""
        with self._lock:
            while self._unsent:
                self._drop()

    def close(self) -> None:
        """Say nothing more."""
        self.unsay()
        with self._lock:
            self._forget()

    # -- the lock is held --------------------------------------------------------------------------

    def _connect(self) -> bool:
        if self._socket is not None and _inode(self._socket) != self._inode:
            self._socket.detach()  # a program that closes everything has; the number may be somebody's by now
            self._socket = None
        if self._socket is None:
            try:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                sock.setblocking(False)
                self._socket, self._inode = sock, _inode(sock)
                sock.connect(self._path)
            except OSError as error:
                self._forget()
                self._complain(error)
        return self._socket is not None

    def _send(self) -> bool:
        """As much as there is room for; whether that was all."""
        while self._unsent:
            if not self._put(*self._unsent[0]):
                return False
            self._drop()
        return True

    def _put(self, text: bytes, fds: Sequence[int]) -> bool:
        """False where it is worth another try."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        for _ in range(2):
            if not self._connect():
                return False
            assert self._socket is not None
            try:
                self._socket.sendmsg([text], rights)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in GONE:
                    self._forget()  # the manager may have another socket by now, at the same path
                    continue
                self._complain(error)  # too long, or not allowed: it would be the next time, too
            return True
        return False

    def _drop(self) -> None:
        for fd in self._unsent.popleft()[1]:
            try:
                os.close(fd)
            except OSError:
                pass  # closed already, by a program that closes everything

    def _forget(self) -> None:
        """Also in a forked child, where the lock may be anybody's."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            log.warning("systemd cannot be told how we are: %s", error)


def _inode(sock: socket.socket) -> int:
    try:
        return os.fstat(sock.fileno()).st_ino
    except OSError:
        return -1


def _is_status(text: bytes) -> bool:
    return text.startswith(b"STATUS=") and b"\n" not in text


def _is_child_of_systemd() -> bool:
    parent = os.getppid()
    try:
        with open(f"/proc/{parent}/comm", encoding="utf-8", errors="replace") as file:
            return parent == 1 or file.read().strip() == "systemd"
    except OSError:
        return parent == 1
