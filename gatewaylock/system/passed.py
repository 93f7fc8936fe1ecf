"""Listening sockets that were open before we came: a socket unit's, or our own out of systemd's store.

LISTEN_PID=ours  LISTEN_FDS=2 (descriptors 3 and 4)  LISTEN_FDNAMES=web:gatewaylock-127.0.0.1%3A18789
                                                                    |   |
                         FileDescriptorName= of the socket unit ----+   +---- stored by our last life,
                                                                  under the address that it asked for
"""

from __future__ import annotations

import logging
import os
import socket
import stat
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass

from .image import PASSED

log = logging.getLogger("gatewaylock.listeners")

FIRST = 3
PREFIX = "gatewaylock-"
#: a name may have 255 characters, printable ASCII without a colon
NAME = 200
SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/[]")


@dataclass(frozen=True)
class Passed:
    """One of them.  ``name`` is what systemd calls it, empty where nobody said."""

    name: str
    listener: socket.socket

    @property
    def stored(self) -> bool:
        """It is ours, out of the store, and not a socket unit's."""
        return self.name.startswith(PREFIX)

    def listens_on(self, family: int, address: object) -> bool:
        """Whether who connects to *address* comes to it.

        A socket unit's ``ListenStream=80`` is every address of IPv6, and of IPv4 with it: it is right for
        0.0.0.0 too.  It is not taken for 127.0.0.1: that would open to the world what was to be local.
        """
        name = self.listener.getsockname()
        if self.listener.family == family:
            return bool(name[:2] == address[:2] if isinstance(address, tuple) else name == address)
        if (self.listener.family, family) != (socket.AF_INET6, socket.AF_INET):
            return False
        both = not self.listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        return both and isinstance(address, tuple) and address == ("0.0.0.0", name[1]) and name[0] == "::"


def store_name(key: str) -> str:
    """What a listener is called in the store: unique to *key*, the address as it was asked for."""
    quoted = "".join(c if c in SAFE else "".join(f"%{byte:02X}" for byte in os.fsencode(c)) for c in key)
    if len(quoted) > NAME:
        from hashlib import sha256  # 3 ms that only a long path has to pay

        quoted = f"{quoted[: NAME - 64]}%{sha256(os.fsencode(key)).hexdigest()[:60]}"
    return PREFIX + quoted


def take(environ: MutableMapping[str, str], pid: int) -> tuple[Passed, ...]:
    """What systemd passed to process *pid*; the variables are removed, and no child inherits a descriptor.

    Nothing where they are meant for another process.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return ()
    count, names = environ.get("LISTEN_FDS", ""), environ.get("LISTEN_FDNAMES", "").split(":")
    for name in PASSED:
        environ.pop(name, None)
    if not (count.isascii() and count.isdigit() and int(count) < 4096):
        return ()
    descriptors = range(FIRST, FIRST + int(count))
    known = names if len(names) == len(descriptors) else [""] * len(descriptors)
    return tuple(found for fd, name in zip(descriptors, known, strict=True) if (found := _adopt(fd, name)))


def orphans(descriptors: Iterable[tuple[str, int]]) -> tuple[Passed, ...]:
    """The listeners of a last image that could leave us nothing else: (address asked for, descriptor)."""
    return tuple(found for key, fd in descriptors if (found := _adopt(fd, store_name(key))))


def _adopt(fd: int, name: str) -> Passed | None:
    """*fd* as a listening socket; None, and left alone, where it is none: the application may know it."""
    try:
        os.set_inheritable(fd, False)
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise OSError("it is no socket")
        listener = socket.socket(fileno=fd)
    except OSError as error:
        log.warning("systemd passed descriptor %d (%r), which is not used: %s", fd, name, error)
        return None
    kinds = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    if listener.family in kinds and listener.type == socket.SOCK_STREAM and _listens(listener):
        return Passed(name, listener)
    listener.detach()
    log.warning("systemd passed descriptor %d (%r), which is not used: it is no listening socket", fd, name)
    return None


def _listens(listener: socket.socket) -> bool:
    return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
