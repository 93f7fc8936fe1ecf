"""Who a process is, and who started it.  A pid alone is nobody: it is reused."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple


class Family(NamedTuple):
    """Where a process stands among others."""

    parent: int
    group: int
    #: its process group is the one that its terminal listens to
    foreground: bool


def start_time(pid: int) -> int | None:
    """When *pid* started, in clock ticks since boot (Linux); None where that cannot be known.

    Field 22 of /proc/PID/stat.  It survives an exec.
    """
    try:
        return int(_stat(pid)[19])
    except (OSError, IndexError, ValueError):
        return None


def family(pid: int) -> Family | None:
    """The family of *pid* (Linux); None where that cannot be known."""
    try:
        _, parent, group, _, terminal, in_front = (
            int(field) if field.isdigit() else 0 for field in _stat(pid)[:6]
        )
    except (OSError, ValueError):
        return None
    return Family(parent, group, bool(terminal) and in_front == group)


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


def children(pid: int) -> list[int]:
    """The children of the main thread of *pid*; none where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        return []


def command(pid: int) -> str:
    """The command line of *pid*, escaped and cut at 200 characters; empty where unknown."""
    text = " ".join(words(pid))
    return text.encode("unicode_escape").decode("ascii")[:200]


def words(pid: int) -> list[str]:
    """The command line of *pid*, as far as 4096 bytes go; none where unknown."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return [word.decode("utf-8", "replace") for word in file.read(4096).rstrip(b"\0").split(b"\0")]
    except OSError:
        return []


def title(pid: int) -> str:
    """What the kernel calls *pid*: its program's name, cut at 15 bytes; empty where unknown."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def known(pid: int) -> Callable[[], str]:
    """What gives the command line of *pid*, as ``command``, as long as it is the process that it is now."""
    started = start_time(pid)

    def ask() -> str:
        text = command(pid)
        return text if started is not None and start_time(pid) == started else ""

    return ask


def environment(pid: int) -> dict[str, str]:
    """What *pid* was started with; nothing where it is not ours to see."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = [os.fsdecode(entry).partition("=") for entry in file.read().split(b"\0") if entry]
    except OSError:
        return {}
    return {name: value for name, _, value in pairs}


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the third on, counted after the last ")": a command may contain anything."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()
