"""Where a fresh pid would be wrong, and why.  One table, in the order in which it is asked.

A supervisor that tracks our pid takes its end for ours: it starts a second gateway, gives up, or ends
the container.  There, ``spawn`` and ``overlap`` become ``exec``, which keeps the pid.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

#: programs that watch the pid of their child, by the name that the kernel shows
WATCHERS = frozenset(
    (
        *("supervisord", "circusd", "monit", "launchd"),
        *("runsv", "s6-supervise", "supervise"),
        *("tini", "dumb-init", "catatonit", "docker-init"),
    )
)


class Rule(NamedTuple):
    """One reason to keep the pid; the README prints these rows."""

    where: str
    applies: Callable[[Mapping[str, str]], bool]
    why: str


def _parent() -> str:
    try:
        with open(f"/proc/{os.getppid()}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


RULES = (
    Rule(
        "not Linux", lambda environ: not sys.platform.startswith("linux"), "there is no pidfd to hold it by"
    ),
    Rule("pid 1", lambda environ: os.getpid() == 1, "the container would end with it"),
    Rule(
        "systemd",
        lambda environ: environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()),
        "systemd kills what is left when the main pid ends",
    ),
    Rule(
        "a supervisor", lambda environ: _parent() in WATCHERS, "it watches this pid and would start another"
    ),
    Rule("a terminal", lambda environ: _in_foreground(), "the shell would take its end for ours"),
)


def pid_must_stay(environ: Mapping[str, str]) -> str:
    """Why a restart has to keep our pid, for people; empty where it need not."""
    for rule in RULES:
        if rule.applies(environ):
            return f"{rule.where}: {rule.why}"
    return ""
