"""Where lock and control socket live, and who holds the name."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ...core.errors import RunDirError
from ...system import ground
from ...system.lock import GatewayLock
from .case import Case

#: bytes: a lock file needs one block; a nearly full disk is soon a full one
LEAST, SCARCE = 64 * 1024, 16 * 1024 * 1024


def run_directory(case: Case) -> Iterator[tuple[str, str]]:
    """Ours, private, with room for a file."""
    path = case.run_dir.path
    try:
        case.run_dir.socket_path(case.name)
    except RunDirError as error:
        yield "fail", str(error)
    if not os.path.lexists(path):
        above = _nearest(path)
        may = os.access(above, os.W_OK | os.X_OK)
        yield (
            ("ok", f"{path}: to be made")
            if may
            else ("fail", f"{path}: cannot be made: {above} is not ours to write")
        )
        return
    try:
        os.close(case.run_dir.descriptor())
    except RunDirError as error:
        yield "fail", str(error)
        return
    if not os.access(path, os.W_OK | os.X_OK):
        yield "fail", f"{path}: nothing can be written there"
    yield "ok", f"{path}: ours, mode {os.stat(path).st_mode & 0o7777:04o}"


def file_system(case: Case) -> Iterator[tuple[str, str]]:
    """Local, and not full."""
    where = _nearest(case.run_dir.path)
    kind = ground.file_system(where)
    if ground.is_remote(kind):
        yield "warn", f"{kind}: locks there may not hold, or be lost: choose a local --run-dir"
    about = os.statvfs(where)
    free = about.f_bavail * about.f_frsize
    if about.f_flag & os.ST_RDONLY:
        yield "fail", f"{kind or 'it'} is mounted for reading only"
    elif free < LEAST or (about.f_files and not about.f_favail):
        yield "fail", f"{kind or 'it'} is full: {free} bytes, {about.f_favail} files left"
    else:
        yield "warn" if free < SCARCE else "ok", f"{kind or 'unknown'}, {free // 2**20} MB free"


def lock(case: Case) -> Iterator[tuple[str, str]]:
    """Free, or held by a gateway that answers."""
    path = os.path.join(case.run_dir.path, f"{case.name}.lock")
    phase = case.status.get("phase", "")
    if phase == "parked":
        yield "fail", f"free: pid {case.pid} is parked: {case.status.get('reason')}"
    elif case.pid:
        yield "ok", f"held by pid {case.pid}, the gateway, which is {phase}"
    elif not os.path.isdir(case.run_dir.path) or not os.path.lexists(path):
        yield "ok", "free"
    else:
        yield _of_a_silent_one(case, path)


def _of_a_silent_one(case: Case, path: str) -> tuple[str, str]:
    """The lock file is there, and no gateway answers."""
    holder = GatewayLock(case.name, run_dir=case.run_dir.path).holder()
    held = ground.is_flocked(path)
    # Not seen is not free for one that is there and says nothing: a container hides locks of processes that
    # are gone, and a successor holds one that its predecessor took.
    if not held and (holder is None or (held is False and not case.silence)):
        return "ok", "free"
    who = f"pid {holder.pid}, {holder}" if holder else "a process that does not say who it is"
    return "fail", f"held by {who}, which does not answer"


def _nearest(path: str) -> str:
    """*path*, or the nearest directory above it that exists."""
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path
