"""What a path stands on: the file system, the room that is left, and who has locked it."""

from __future__ import annotations

import os
import re

#: file systems whose flock another machine does not see, or sees late, or turns into something else
REMOTE = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "afs", "ceph", "lustre", "virtiofs")
)


def file_system(path: str) -> str:
    """The type of the file system below *path* (``ext4``, ``fuse.sshfs``); empty where that cannot be known."""
    where = os.path.realpath(path)
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.split(" ") for line in file]
    except OSError:
        return ""
    best, found = "", ""
    for fields in mounts:
        point = _unescaped(fields[4])
        # Not by device numbers: btrfs and overlays show others in stat.  A later mount hides an earlier one.
        if len(point) >= len(best) and (where == point or where.startswith(point.rstrip("/") + "/")):
            best, found = point, fields[fields.index("-") + 1]
    return found


def is_remote(kind: str) -> bool:
    """Whether locks on this type of file system may not be what they are here."""
    return kind in REMOTE or kind.startswith("fuse.")


def is_flocked(path: str) -> bool | None:
    """Whether somebody holds an flock on *path*, without touching the lock; None where that cannot be known.

    Trying would tell as well, and could cost a gateway its start in the same instant.
    """
    try:
        about = os.stat(path)
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return False if os.path.exists("/proc/locks") else None
    except OSError:
        return None
    return any(_is_of(line, about) for line in lines)


def _is_of(line: str, about: os.stat_result) -> bool:
    """Whether a line of /proc/locks (``1: FLOCK ADVISORY WRITE 4711 fe:00:131 0 EOF``) is of this file."""
    found = re.search(r" FLOCK .* ([0-9a-f]+):([0-9a-f]+):(\d+) ", line)
    if not found or int(found[3]) != about.st_ino or "->" in line:
        return False
    device = (int(found[1], 16), int(found[2], 16))
    anonymous = os.major(about.st_dev) == 0  # btrfs, overlay: the kernel's own number is another one
    return anonymous or device == (os.major(about.st_dev), os.minor(about.st_dev))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
