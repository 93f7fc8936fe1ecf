"""What happened to a gateway, in a file that outlives it: one JSON object a line, the newest last.

``NAME.history`` in the run directory, and the older half in ``NAME.history.1``.  It is for people and for
the count of starts that died young; nothing else is decided by it.  A line is one ``write`` to a file
opened for appending, so that two processes in a hand-over cannot tear each other's.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from typing import Any

from ..core.errors import RunDirError
from . import flock, process
from .rundir import RunDir

log = logging.getLogger("gatewaylock.history")

#: bytes after which the file becomes the older half
SIZE = 256 * 1024
#: bytes that a line may have; texts are cut for it
LINE = 4096
#: digits of a whole number, and the instant in the year 9000, that a record may have
LONGEST_NUMBER, LATEST = 18, 2.2e11


class History:
    """The record of gateway *name* in *run_dir*."""

    def __init__(self, run_dir: RunDir, name: str) -> None:
        self._run_dir, self._file = run_dir, f"{name}.history"
        self._complained = False

    def add(self, record: Mapping[str, Any]) -> None:
        """Append *record*.  Never raises: a gateway must not end because its diary is full."""
        try:
            self._append(_line(record))
        except (OSError, RunDirError) as error:
            if not self._complained:
                log.warning("the history is not written: %s", error)
            self._complained = True
        else:
            self._complained = False

    def records(self) -> list[dict[str, Any]]:
        """Every readable record, oldest first; empty where there is none."""
        return [*self._read(f"{self._file}.1"), *self._read(self._file)]

    def _append(self, line: bytes) -> None:
        fd = self._run_dir.open_file(self._file, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line  # the disk was full in the middle of the last one
            os.write(fd, line)
            if size + len(line) > SIZE:
                self._turn_over(fd)
        finally:
            os.close(fd)

    def _turn_over(self, fd: int) -> None:
        """The file that *fd* has open becomes the older half, unless another process is at it, or has done it.

        Locked: between our look and the replacing, another one could begin a new file, and that would
        take the place of the older half.
        """
        if flock.is_ours(fd) and self._run_dir.is_linked(self._file, fd):
            path = os.path.join(self._run_dir.path, self._file)
            os.replace(path, f"{path}.1")

    def _read(self, name: str) -> list[dict[str, Any]]:
        try:
            text = self._run_dir.read(name, 2 * SIZE)
        except (OSError, RunDirError):
            return []
        found = [_parsed(line) for line in text.splitlines()]
        return [record for record in found if record]


def still_runs(record: Mapping[str, Any]) -> bool:
    """Whether the process that wrote *record* is still there."""
    pid, started = record.get("pid"), record.get("started")
    return isinstance(pid, int) and isinstance(started, int) and process.is_alive(pid, started)


def _line(record: Mapping[str, Any]) -> bytes:
    """*record* in at most LINE bytes, whatever its texts are."""
    for most in (LINE, 1000, 100):
        short = {key: _cut(value, most) for key, value in record.items()}
        line = json.dumps(short).encode() + b"\n"
        if len(line) <= LINE:
            break
    return line


def _cut(value: object, most: int) -> object:
    if isinstance(value, str):
        return value if len(value) <= most else value[:most] + "..."
    if isinstance(value, (list, tuple)):
        return [_cut(each, most) for each in value[:10]]
    if isinstance(value, Mapping):
        return {key: _cut(each, most) for key, each in value.items()}
    return value


def _parsed(line: bytes) -> dict[str, Any]:
    """A record; {} for what none of us has written: a start that counts the dead must not fail by it."""
    try:
        record = json.loads(line, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and _is_instant(record.get("at")) else {}


def _whole(digits: str) -> int:
    """No number of ours is longer, and one of 400 digits is no float any more."""
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    """Neither NaN nor infinite, which no clock and no page can show."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is no number of ours")
    return number


def _is_instant(at: object) -> bool:
    return isinstance(at, (int, float)) and 0 <= at < LATEST
