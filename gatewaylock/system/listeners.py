"""Listening sockets: bound once, kept open over every life, handed on by descriptor."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress

from ..core.errors import AddressTakenError, ConfigError
from .host import Host, close_after_fork
from .rundir import SOCKET_PATH_BYTES

log = logging.getLogger("gatewaylock.listeners")


class Listeners:
    """The sockets of one gateway, by address as it was asked for.

    A restart closes none of them, so a connection that arrives in between waits in the kernel's
    queue for the next life.  Nobody may call ``shutdown()`` on one: that would end it for every
    process that has a copy.
    """

    def __init__(self, host: Host, inherited: Mapping[str, int] | None = None) -> None:
        self._host = host
        self._sockets: dict[str, socket.socket] = {}
        self._asked: set[str] = set()
        for key, fd in (inherited or {}).items():
            listener = socket.socket(fileno=fd)
            listener.set_inheritable(False)
            self._sockets[key] = listener
        close_after_fork(self._close_copies)

    def tcp(self, host: str, port: int) -> socket.socket:
        """The socket that listens on *host*:*port* (port 0: any free one, the same in each life).

        AddressTakenError or ConfigError when it cannot be bound.
        """
        key = f"{host}:{port}"
        return self._alive(self._mark(key)) or self._keep(key, self._bind_tcp(host, port))

    def unix(self, path: str) -> socket.socket:
        """The Unix socket that listens at *path*, mode 0600.  A stale one of ours is replaced.

        AddressTakenError while another process listens there, ConfigError for what cannot be a path.
        """
        key = f"unix:{path}"
        return self._alive(self._mark(key)) or self._keep(key, _bind_unix(path))

    def begin(self) -> None:
        """A new life asks for its sockets anew."""
        self._asked.clear()

    def settle(self) -> None:
        """The life serves: close what it did not ask for, or clients would wait there for ever."""
        for key in [key for key in self._sockets if key not in self._asked]:
            self._sockets.pop(key).close()

    def addresses(self) -> tuple[str, ...]:
        """Where we listen, as ``host:port`` or ``unix:path``."""
        found = []
        for listener in list(self._sockets.values()):
            with suppress(OSError):  # closed, by us or by a server; at this moment even
                found.append(_address(listener))
        return tuple(found)

    def descriptors(self) -> dict[str, int]:
        """Address asked for -> descriptor, for a hand-over."""
        every = {key: listener.fileno() for key, listener in self._sockets.items()}
        return {key: fd for key, fd in every.items() if fd >= 0}

    def close(self, *, unlink: bool = True) -> None:
        """The end of the gateway: close all, and remove the paths unless a successor has them now."""
        for listener in self._sockets.values():
            if unlink and listener.fileno() >= 0 and listener.family == socket.AF_UNIX:
                _unlink_own(listener.getsockname())
        self._close_copies()

    def _alive(self, key: str) -> socket.socket | None:
        """The one we have, unless a server closed it (many do): who connected meanwhile was refused."""
        listener = self._sockets.get(key)
        if listener is not None and listener.fileno() < 0:
            log.warning(
                "the last life closed the listening socket of %s: give it gateway.listen(...).dup()", key
            )
            return None
        return listener

    def _mark(self, key: str) -> str:
        self._asked.add(key)
        return key

    def _keep(self, key: str, listener: socket.socket) -> socket.socket:
        self._sockets[key] = listener
        return listener

    def _bind_tcp(self, host: str, port: int) -> socket.socket:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
            raise ConfigError(f"cannot listen on {where}: ports are 0 to 65535")
        try:
            family, kind, proto, _, address = socket.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
        except (OSError, OverflowError, UnicodeError) as error:
            raise ConfigError(f"cannot listen on {where}: {error}") from error
        listener = socket.socket(family, kind, proto)
        try:
            # SO_REUSEADDR, or a bind fails for a minute after connections were closed by us.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(socket.SOMAXCONN)
        except OSError as error:
            listener.close()
            raise _bind_error(where, error) from error
        return listener

    def _close_copies(self) -> None:
        while self._sockets:
            self._sockets.popitem()[1].close()


def _bind_unix(path: str) -> socket.socket:
    size = len(os.fsencode(path))
    if not 0 < size <= SOCKET_PATH_BYTES or "\0" in path:
        raise ConfigError(
            f"cannot listen on unix:{path}: the path has {size} bytes, 1 to {SOCKET_PATH_BYTES} are possible"
        )
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before bind: the file is private from its first moment
        listener.bind(path)
        os.chmod(path, 0o600)  # where fchmod of a socket says nothing about its file (not Linux)
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise _bind_error(f"unix:{path}", error) from error
    return listener


def _remove_stale(path: str) -> None:
    """Remove the socket file of a process that is gone; anything else stays and is an error."""
    try:
        about = os.lstat(path)
    except OSError:
        return  # nothing there, or bind will say what is wrong
    if not stat.S_ISSOCK(about.st_mode) or about.st_uid != os.geteuid():
        raise ConfigError(f"cannot listen on unix:{path}: there is something else: move it out of the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            raise _bind_error(f"unix:{path}", error) from error
    raise AddressTakenError(f"unix:{path}")


def _bind_error(where: str, error: OSError) -> ConfigError:
    if error.errno in (errno.EADDRINUSE, errno.EAGAIN):
        return AddressTakenError(where)
    if error.errno == errno.EACCES:
        return ConfigError(f"cannot listen on {where}: {error.strerror}: ports below 1024 need privileges")
    return ConfigError(f"cannot listen on {where}: {error.strerror}")


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    return f"[{name[0]}]:{name[1]}" if listener.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def _unlink_own(path: str) -> None:
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except OSError:
        pass  # somebody was quicker; a leftover is replaced by the next start
