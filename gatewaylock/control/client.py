"""The side of the person: ask a running gateway, read its answers."""

from __future__ import annotations

import os
import socket
import stat
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
        """Send one question; the first line back."""
        self._connection.settimeout(self._deadline.timeout())
        try:
            self._connection.sendall(encode({"verb": verb, **fields}))
        except BrokenPipeError:
            pass  # it refused us unasked; the line says why
        return self.line()

    def line(self) -> dict[str, Any]:
        """The next line.  GoneError at the end of the connection, TimeoutError at the deadline."""
        while b"\n" not in self._said:
            self._connection.settimeout(self._deadline.timeout())
            try:
                chunk = self._connection.recv(LINE)
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise GoneError("the gateway has ended the connection without an answer")
            self._said += chunk
            if len(self._said) > 16 * LINE:
                raise ProtocolError("the answer is too long")
        line, _, rest = bytes(self._said).partition(b"\n")
        self._said = bytearray(rest)
        return decode(line)


def talk(path: str, name: str, deadline: Deadline = NEVER) -> Talk:
    """A conversation with the gateway that listens at *path*.  NotRunningError where none does."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(deadline.timeout())
    try:
        about = os.lstat(path)
        if not stat.S_ISSOCK(about.st_mode) or about.st_uid not in (os.geteuid(), 0):
            raise ProtocolError(f"{path} is no socket of ours: move it out of the way")
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        raise NotRunningError(name, os.path.dirname(path)) from None
    except PermissionError as error:
        connection.close()
        raise ProtocolError(
            f"{path}: {error.strerror}: only the owner of a gateway and root may ask"
        ) from error
    return Talk(connection, deadline)
