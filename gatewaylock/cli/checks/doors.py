"""Whether it can be asked, and whether it can listen."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator

from .case import Case


def control_socket(case: Case) -> Iterator[tuple[str, str]]:
    """Answers, or is not there."""
    if case.silence:
        yield "fail", case.silence
    elif case.pid:
        yield "ok", f"pid {case.pid} answers"
    else:
        yield "ok", "no gateway of this name runs"


def addresses(case: Case) -> Iterator[tuple[str, str]]:
    """Each one free, or listened on by the gateway itself."""
    ours = set(case.status.get("addresses", ()))
    for address in sorted(ours) if not case.binds else ():
        yield "ok", f"{address}: the gateway listens there"
    for host, port in case.binds:
        if host.startswith("fd:"):
            yield "ok", f"{host}: a socket unit's, which is seen when systemd starts us"
            continue
        yield _unix(host.removeprefix("unix:"), ours) if port < 0 else _tcp(host, port, ours)


def _tcp(host: str, port: int, ours: set[str]) -> tuple[str, str]:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if _numbers(host, port) & ours:
        return "ok", f"{where}: the gateway listens there"
    try:
        family, kind, proto, _, at = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, proto) as trial:
            # Bound and not listened on: nobody connects to it, and a gateway that starts now is not refused.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(at)
    except (OSError, UnicodeError) as error:
        return "fail", f"{where}: {_why(error)}"
    return "ok", f"{where}: free"


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    known = {
        errno.EADDRINUSE: "another program listens there",
        errno.EACCES: "ports below 1024 need privileges",
    }
    return known.get(number or 0, getattr(error, "strerror", None) or str(error))


def _numbers(host: str, port: int) -> set[str]:
    """What *host* and *port* look like in a status."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    pairs = [(str(at[0]), int(at[1])) for *_, at in found]
    return {f"[{number}]:{port}" if ":" in number else f"{number}:{port}" for number, port in pairs}


def _unix(path: str, ours: set[str]) -> tuple[str, str]:
    path = os.path.abspath(path)
    if f"unix:{path}" in ours:
        return "ok", f"unix:{path}: the gateway listens there"
    above = os.path.dirname(path)
    if not os.access(above, os.W_OK | os.X_OK):
        return "fail", f"unix:{path}: {above} is not there, or not ours to write"
    if not os.path.lexists(path):
        return "ok", f"unix:{path}: free"
    about = os.lstat(path)
    if not stat.S_ISSOCK(about.st_mode) or about.st_uid != os.geteuid():
        return "fail", f"unix:{path}: there is something else: move it out of the way"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return "ok", f"unix:{path}: a stale socket of ours, which is replaced"
    return "fail", f"unix:{path}: another program listens there"
