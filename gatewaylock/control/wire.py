"""One line to a client, and who a client is."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Any

from .protocol import encode


def say(connection: socket.socket, fields: Mapping[str, Any]) -> bool:
    """One line; False when the client is gone or does not take it."""
    try:
        connection.sendall(encode(dict(fields)))
    except OSError:
        return False
    return True


def credentials(connection: socket.socket) -> tuple[int, int]:
    """(pid, uid) of the other side, as they were when it connected.

    Where the kernel does not tell (not Linux), pid is 0, and the modes 0600 of the socket and 0700 of
    its directory have to do: whoever came this far passed them.
    """
    if not sys.platform.startswith("linux"):
        return 0, os.geteuid()
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", said)
    return pid, uid
