"""One listening socket: where it is to be, made, known by, and removed."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any

from ..core.errors import AddressTakenError, ConfigError, GatewayError
from .rundir import SOCKET_PATH_BYTES

#: what may be right a moment later: no address yet (a boot, a VRRP address, IPv6's duplicate detection), no memory
PASSING = (errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENETDOWN, errno.ENOBUFS, errno.ENOMEM)
#: the same of a look-up: no name server answers
UNANSWERED = (socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM)


def resolve(host: str, port: int) -> tuple[str, int, tuple[Any, ...]]:
    """(how people write it, address family, address).  ConfigError, GatewayError for what may pass."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not (isinstance(port, int) and 0 <= port <= 65535):  # getaddrinfo would take it modulo 65536
        raise ConfigError(f"cannot listen on {where}: ports are whole numbers, 0 to 65535, not {port!r}")
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, OverflowError, UnicodeError) as error:
        passing = isinstance(error, socket.gaierror) and error.errno in UNANSWERED
        raise _of_its_kind(passing)(f"cannot listen on {where}: {error}") from error
    return where, found[0], found[4]


def bind_tcp(where: str, family: int, address: tuple[Any, ...]) -> socket.socket:
    """A socket that listens on what ``resolve`` found.  AddressTakenError, ConfigError, GatewayError for what may pass."""
    listener = socket.socket(family, socket.SOCK_STREAM)
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


def bind_unix(path: str) -> socket.socket:
    """A Unix socket that listens at *path*, mode 0600.  AddressTakenError, ConfigError."""
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


def is_socket(path: str) -> bool:
    """Whether there is a Unix socket at *path*, whoever made it."""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


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


def _of_its_kind(passing: bool) -> type[GatewayError]:
    """What may pass ends with 1, after which every supervisor tries again; after 78 none does."""
    return GatewayError if passing else ConfigError


def _bind_error(where: str, error: OSError) -> GatewayError:
    if error.errno in (errno.EADDRINUSE, errno.EAGAIN):
        return AddressTakenError(where)
    if error.errno == errno.EACCES:
        return ConfigError(f"cannot listen on {where}: {error.strerror}: ports below 1024 need privileges")
    return _of_its_kind(error.errno in PASSING)(f"cannot listen on {where}: {error.strerror}")


def port_of(listener: socket.socket) -> int:
    """Of a TCP socket that is open; else -1."""
    if listener.fileno() < 0 or listener.family == socket.AF_UNIX:
        return -1
    return int(listener.getsockname()[1])


def address_of(listener: socket.socket) -> str:
    """Where it listens: ``host:port``, ``[host]:port`` or ``unix:path``."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    return f"[{name[0]}]:{name[1]}" if listener.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def unlink_own(path: str) -> None:
    """Remove the Unix socket at *path*, if it is one."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except OSError:
        pass  # somebody was quicker; a leftover is replaced by the next start
