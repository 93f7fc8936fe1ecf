"""A gateway under the stand-in, from a test's side."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speaking import LIMIT, PROGRAMS, Program, gateway_argv, started


class Notified:
    """The unit; what it does is heard as lines (see ``standin.py``)."""

    def __init__(self, said: Program) -> None:
        self.said = said
        self.hears = said.hears

    def do(self, command: str) -> None:
        """start, stop, reload, kill NUMBER, deaf, hear"""
        self.said.do(command)

    def start(self) -> None:
        """And wait until it is active."""
        self.do("start")
        self.hears("^state active")

    def stop(self, limit: float = LIMIT) -> str:
        """And wait for the end: how systemd calls it."""
        self.do("stop")
        return self.over(limit)

    def over(self, limit: float = LIMIT) -> str:
        """Wait until it is inactive or failed; how systemd calls that."""
        return self.hears("^state (?:inactive|failed) (.*)", limit)[1].strip()

    def show(self) -> dict[str, Any]:
        """state, result, main, alien, status, restarts, starts, store, family"""
        self.do("show")
        shown: dict[str, Any] = json.loads(self.hears("^shown (.*)")[1])
        return shown

    def told(self, *, of: str = r"READY|RELOADING|STOPPING|MAINPID|BARRIER") -> list[str]:
        """What was said so far about *of*, in order, without values that differ each time."""
        lines = [line for line in self.said.lines if line.startswith("told ")]
        words = [re.findall(rf"\b((?:{of})=\S+)", line) for line in lines]
        return [re.sub("MAINPID=.*", "MAINPID", word) for line in words for word in line]

    def log(self) -> str:
        """Everything."""
        return self.said.text()


@contextmanager
def unit(
    argv: Sequence[str | Path], *, cwd: Path = PROGRAMS, env: dict[str, str] | None = None, **settings: Any
) -> Iterator[Notified]:
    """*argv* as a service (not started); nothing of it is left at the end."""
    told = {"exec": [str(word) for word in argv], "env": env or {}, **settings}
    with started(sys.executable, Path(__file__).with_name("standin.py"), json.dumps(told), cwd=cwd) as said:
        try:
            yield Notified(said)
        finally:
            said.do("quit")
            said.ends()


@contextmanager
def page(run_dir: Path, *words: str | Path, **settings: Any) -> Iterator[Notified]:
    """``gateway run``, started and active."""
    argv = gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", *words)
    with unit(argv, **settings) as found:
        found.start()
        yield found
