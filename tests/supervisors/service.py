"""A gateway as supervisors are told to run it: a script, a log, and the processes that came of it."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from http_tools import listener
from speaking import LIMIT, PROGRAMS, ROOT, eventually, gateway_argv

#: in the environment of each process that comes of a service, however far down
MARK = "GW_KEPT_AS"


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with listener() as sock:
        return int(sock.getsockname()[1])


class Service:
    """One gateway to be kept.  A second one with the same *run_dir* is its rival for the name."""

    def __init__(self, work: Path, name: str, *options: str, run_dir: Path, port: int) -> None:
        self.name, self.work, self.run_dir, self.port = name, work, run_dir, port
        self.log, self.script = work / f"{name}.log", work / f"{name}.serve"
        argv = gateway_argv(
            "run", "echo_app:app", "--run-dir", run_dir, "--bind", f"127.0.0.1:{port}", *options
        )
        self.log.touch()
        self.script.write_text(self._script(argv))
        self.script.chmod(0o755)

    def _script(self, argv: Sequence[str]) -> str:
        exports = {MARK: str(self.script), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        lines = [f"export {key}={shlex.quote(value)}" for key, value in exports.items()]
        return "\n".join(["#!/bin/sh", f"cd {PROGRAMS}", *lines, f"exec {shlex.join(argv)}", ""])

    def text(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def said(self, pattern: str) -> int:
        """How often its log says so."""
        return len(re.findall(pattern, self.text()))

    def says(self, pattern: str, times: int = 1, limit: float = LIMIT) -> None:
        """Wait until its log has said so *times* times."""
        if not eventually(lambda: self.said(pattern) >= times, limit):
            raise AssertionError(f"{self.name} never said {pattern!r} {times} times:\n{self.text()}")

    def alive(self) -> list[int]:
        """Every process that came of it."""
        mark, found = f"{MARK}={self.script}".encode(), []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return sorted(found)

    def gone(self, limit: float = LIMIT) -> bool:
        """Wait until nothing of it lives; whether that came."""
        return eventually(lambda: not self.alive(), limit)

    def kill_all(self) -> None:
        """For the end of a test."""
        while left := self.alive():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The children of *pid*; none when it is gone."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
