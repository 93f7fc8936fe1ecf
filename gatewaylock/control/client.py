"""The side of the person: ask a running gateway, read its answers."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from contextlib import suppress
from typing import Any

from ..core.deadline import NEVER, Deadline
from ..core.errors import GatewayError, NotRunningError
from .protocol import LINE, ProtocolError, decode, encode


class GoneError(GatewayError):
    """The gateway ended the connection before it had answered."""


class Talk:
    """One conversation: a question, its answer, and, for who waits, the outcome."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline
        self._said = bytearray()

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        """Send one question; the first line back.  Errors as for ``line``."""
        self.say(verb, **fields)
        return self.line()

    def say(self, verb: str, **fields: Any) -> None:
        """Send one question, and do not wait.  TimeoutError."""
        self._connection.settimeout(_timeout(self._deadline))
        with suppress(ConnectionError):  # it refused us unasked; the line says why
            self._connection.sendall(encode({"verb": verb, **fields}))

    def line(self) -> dict[str, Any]:
        """The next line.  GoneError at the end of the connection, TimeoutError at the deadline."""
        while b"\n" not in self._said:
            self._connection.settimeout(_timeout(self._deadline))
            self._read()
        return self._take()

    def lines(self) -> list[dict[str, Any]]:
        """What has come; waits only where nothing has.  Errors as for ``line``."""
        found = [self.line()]
        while b"\n" in self._said:
            found.append(self._take())
        return found

    def patience(self, deadline: Deadline) -> None:
        """Wait until *deadline* from now on."""
        self._deadline = deadline

    def fileno(self) -> int:
        """For a selector: readable when ``line`` will not wait.  After ``lines`` nothing is kept back."""
        return self._connection.fileno()

    def close(self) -> None:
        """The end of it."""
        self._connection.close()

    def _read(self) -> None:
        try:
            chunk = self._connection.recv(LINE)
        except ConnectionError:
            chunk = b""
        if not chunk:
            raise GoneError("the gateway has ended the connection without an answer")
        self._said += chunk
        if len(self._said) > 16 * LINE:
            raise ProtocolError("the answer is too long")

    def _take(self) -> dict[str, Any]:
        line, _, rest = bytes(self._said).partition(b"\n")
        self._said = bytearray(rest)
        return decode(line)


def talk(path: str, name: str, deadline: Deadline = NEVER) -> Talk:
    """A conversation with the gateway *name* that listens at *path*.

    NotRunningError where none does; ProtocolError where we may not ask, or where somebody else could
    be posing as the gateway; TimeoutError at *deadline*.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_timeout(deadline))
        _connect(connection, path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        connection.close()
        raise NotRunningError(name, os.path.dirname(path)) from None
    except BaseException:
        connection.close()
        raise
    return Talk(connection, deadline)


def _connect(connection: socket.socket, path: str) -> None:
    try:
        owner = _trusted_owner(path)
        connection.connect(path)
    except PermissionError as error:
        why = f"{error.strerror}: only the owner of a gateway and root may ask"
        raise ProtocolError(f"{path}: {why}") from error
    except BlockingIOError as error:  # what a full queue is called on a socket with a timeout
        raise ProtocolError(f"{path}: too many ask at once, or the gateway is stuck") from error
    if _peer_uid(connection, owner) not in (owner, 0):
        raise ProtocolError(f"{path}: another user answers there")


def _trusted_owner(path: str) -> int:
    """Whose socket it is: ours or root's, else ProtocolError.

    Root may ask everybody's, where the directory belongs to the same user: nobody else put it there.
    """
    about = os.lstat(path)
    trusted = {os.geteuid(), 0}
    if os.geteuid() == 0:
        trusted.add(os.stat(os.path.dirname(path)).st_uid)
    if not stat.S_ISSOCK(about.st_mode) or about.st_uid not in trusted:
        raise ProtocolError(f"{path} is no socket of ours: move it out of the way")
    return about.st_uid


def _peer_uid(connection: socket.socket, unknown: int) -> int:
    """Who answers; *unknown* where the kernel does not tell (not Linux)."""
    if not sys.platform.startswith("linux"):
        return unknown
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


def _timeout(deadline: Deadline) -> float | None:
    """For ``settimeout``, where 0 does not mean "time is over" but "never wait"."""
    if deadline.passed():
        raise TimeoutError("the deadline has passed")
    return deadline.timeout()
