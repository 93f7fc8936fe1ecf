"""Who a process is.  A pid alone is nobody: it is reused."""

from __future__ import annotations

import os
from collections.abc import Callable


def start_time(pid: int) -> int | None:
    """When *pid* started, in clock ticks since boot (Linux); None where that cannot be known.

    Field 22 of /proc/PID/stat, counted after the last ")": a command may contain anything.
    It survives an exec.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def is_alive(pid: int, started: int | None) -> bool:
    """Whether *pid* still is the process that started at *started* (any, where that is None)."""
    if pid <= 0:
        return False  # 0 and negative numbers name groups
    if started is not None:
        return start_time(pid) == started
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def command(pid: int) -> str:
    """The command line of *pid*, escaped and cut at 200 characters; empty where unknown."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4096).rstrip(b"\0").split(b"\0")
    except OSError:
        return ""
    text = " ".join(word.decode("utf-8", "replace") for word in words)
    return text.encode("unicode_escape").decode("ascii")[:200]


def known(pid: int) -> Callable[[], str]:
    """What gives the command line of *pid*, as ``command``, as long as it is the process that it is now."""
    started = start_time(pid)

    def ask() -> str:
        text = command(pid)
        return text if started is not None and start_time(pid) == started else ""

    return ask
