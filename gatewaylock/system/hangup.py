"""SIGHUP has three senders who mean three things by it.

a terminal that closes     stop: nobody is there any more
systemd (notify-reload)    restart, permitted: systemd has asked who may
anybody else               restart, with the same right as SIGUSR1
``nohup`` and the like     ignored it before we came: it stays ignored (see inbox.py)
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from .inbox import Meaning


def meaning_of_hangup(environ: Mapping[str, str], had_terminal: bool) -> Meaning:
    """What SIGHUP means to this process.

    *had_terminal*: the image before this one had one.  Over an exec it may have closed: the signal that
    says so is still to come, and no terminal is left to be seen.
    """
    if had_terminal or _has_terminal():
        return Meaning.STOP
    return Meaning.RELOAD if environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()) else Meaning.RESTART


def _has_terminal() -> bool:
    """Whether there is a controlling terminal: its end is what SIGHUP was made for."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True
