"""A name that no ``rm`` can remove, beside the lock file.

A lock file can be deleted while it is held: the next starter then makes a new file and locks that,
and two gateways run.  An inode re-check cannot see it, for the new file is sound.  So a holder also
binds an abstract Unix socket named after the lock file; the kernel frees it with the process.

What was refused:

- flock on the directory as well: ``rm -r`` replaces the directory just as easily.
- watching the file and making it again: a starter can win the moment in between.
- the abstract name alone: it has no permissions (anybody can squat it; the owner of a found one is
  therefore checked) and it ends at the network namespace, where flock does not.

Linux only; elsewhere the lock file stands alone.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import struct
import sys

from ..core.deadline import Deadline

log = logging.getLogger("gatewaylock.lock")


def address_of(path: str) -> bytes:
    """The abstract name for *path*, of this user and this mount namespace.

    The mount namespace is part of it because two containers on one network may both have a
    ``/run/gatewaylock`` that have nothing to do with each other.
    """
    import hashlib  # OpenSSL: 3 ms that only a holder has to pay

    try:
        mounts = os.readlink("/proc/self/ns/mnt")
    except OSError:
        mounts = ""
    key = f"{os.geteuid()}\n{mounts}\n{os.path.realpath(path)}"
    return (
        b"\0gatewaylock-" + hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:40].encode()
    )


def take(path: str) -> socket.socket | None:
    """The guard of *path*; None where there is none to have here; BlockingIOError while another holds it."""
    if not sys.platform.startswith("linux"):
        return None
    guard = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        guard.bind(address_of(path))
        guard.listen(64)
    except OSError as error:
        guard.close()
        if error.errno != errno.EADDRINUSE:
            log.warning("no guard beside the lock file, which must not be deleted: %s", error)
            return None
        if _holder_uid(path) in (os.geteuid(), None):
            raise BlockingIOError(errno.EAGAIN, "the guard is taken") from None
        return None  # somebody squats the name; the lock file, which they cannot touch, decides
    return guard


def wait_free(path: str, deadline: Deadline) -> bool:
    """Wait for the end of the process that holds the guard of *path*; whether it ended in time.

    We connect and never send: the connection hangs up when the holder is gone.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(deadline.left() or 0.001)
        try:
            probe.connect(address_of(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        poller = select.poll()
        poller.register(probe, 0)  # POLLHUP and POLLERR are always reported
        return bool(poller.poll(deadline.left() * 1000))


def _holder_uid(path: str) -> int | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address_of(path))
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
        return int(struct.unpack("3i", credentials)[1])
