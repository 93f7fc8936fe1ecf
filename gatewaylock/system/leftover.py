"""Children that the last image left to us: an exec keeps them, and loses everything that was known of them.

Nobody else will ever wait for them, so each would be a zombie for as long as we run: a helper that
``close()`` has told to end, and not waited for, is one more with every restart.

Which are they?  Those of the main thread that began before the exec: whatever this image has started
itself is younger.  Not those before the restart was accepted, as it was once: the drain and close() start
some too.  What was refused: the reaper of pid 1 (reaper.py), which has to guess whose a child is.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
import time

from .host import Host
from .process import children, start_time

log = logging.getLogger("gatewaylock.reaper")


def wait_for_left_over(host: Host, left_at: float) -> None:
    """Wait, on a thread, for what the image before us has started; *left_at*: the monotonic instant of its exec."""
    if not sys.platform.startswith("linux"):
        return
    pidfds = [pidfd for pid in _older(host.pid(), left_at) if (pidfd := _open(pid)) >= 0]
    if not pidfds:
        return
    try:
        threading.Thread(target=_wait, args=(host, pidfds), name="gatewaylock-left", daemon=True).start()
    except RuntimeError as error:
        log.warning("what the last image has started will stay as zombies: %s", error)
        for pidfd in pidfds:
            os.close(pidfd)


def _older(pid: int, left_at: float) -> list[int]:
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.monotonic() - left_at)
    # A start is told in whole ticks of 10 ms, rounded down.  No interpreter with a site is that quick: ours are younger.
    ticks = since_boot * os.sysconf("SC_CLK_TCK")
    return [child for child in children(pid) if (start_time(child) or ticks) < ticks]


def _open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1  # gone already, or no descriptor left: then it stays a zombie


def _wait(host: Host, pidfds: list[int]) -> None:
    poller = select.poll()
    for pidfd in pidfds:
        poller.register(pidfd, select.POLLIN)
    left = len(pidfds)
    while left:
        for pidfd, _ in poller.poll():
            try:
                host.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                pass  # the program has, after all
            except OSError as error:
                log.warning("what the last image has started stays as a zombie: %s", error)
            poller.unregister(pidfd)
            os.close(pidfd)
            left -= 1
