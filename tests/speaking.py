"""Little programs that speak, and a listener that waits for what they say."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "tests" / "programs"
LIMIT = 30.0


class Program:
    """A started program: its lines as they come, its end, and nothing of it left afterwards."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self.lines: list[str] = []
        self._read = 0
        self._changed = threading.Condition()
        self._over = False
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        return self.popen.pid

    def _listen(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def hears(self, pattern: str, limit: float = LIMIT) -> re.Match[str]:
        """The next line that *pattern* is found in; those before it are passed over."""
        until = time.monotonic() + limit
        with self._changed:
            while True:
                while self._read < len(self.lines):
                    self._read += 1
                    found = re.search(pattern, self.lines[self._read - 1])
                    if found:
                        return found
                left = until - time.monotonic()
                if self._over or left <= 0:
                    why = "it ended" if self._over else f"{limit:g} s passed"
                    raise AssertionError(f"never said {pattern!r}: {why}; it said:\n" + self.text())
                self._changed.wait(left)

    def text(self) -> str:
        return "\n".join(self.lines)

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def do(self, statement: str) -> None:
        """One line of Python for a program that listens for some (tests/programs/lives.py)."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(statement + "\n")
        self.popen.stdin.flush()

    def over(self) -> None:
        """It was killed: nothing of it is left here either."""
        self.popen.wait()
        self._listener.join(5)
        assert self.popen.stdin is not None and self.popen.stdout is not None
        with suppress(BrokenPipeError):
            self.popen.stdin.close()
        self.popen.stdout.close()

    def ends(self, limit: float = LIMIT) -> int:
        """Its exit code; all its lines have been read then."""
        try:
            code = self.popen.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {limit:g} s; it said:\n{self.text()}") from None
        with self._changed:
            self._changed.wait_for(lambda: self._over, 5)
        return code


def environment(**more: str) -> dict[str, str]:
    """Ours without anything that steers a gateway, with the checkout importable.

    No bytecode: a version rewritten within the second would be run from that of the one before.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY")}
    ours = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **ours, **more}


@contextmanager
def started(*argv: str | Path, cwd: Path | None = None, **env: str) -> Iterator[Program]:
    """*argv* as a process with stdout and stderr in one; killed with all its children at the end."""
    popen = subprocess.Popen(
        [str(word) for word in argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=cwd,
        env=environment(**env),
        start_new_session=True,
    )
    program = Program(popen)
    try:
        yield program
    finally:
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        program.over()


@contextmanager
def python(program: str, *args: str | Path, **env: str) -> Iterator[Program]:
    """One of tests/programs."""
    with started(sys.executable, PROGRAMS / program, *args, **env) as said:
        yield said


def gateway_argv(*args: str | Path) -> list[str]:
    """The command line of ``gateway`` with *args*."""
    return [sys.executable, "-m", "gatewaylock", *(str(arg) for arg in args)]


def gateway(*args: str | Path, limit: float = LIMIT, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        gateway_argv(*args), capture_output=True, text=True, timeout=limit, env=environment(**env)
    )


def eventually(claim: Callable[[], object], limit: float = LIMIT) -> bool:
    """Whether *claim* becomes true within *limit* seconds; only for what nobody can be told of."""
    until, never = time.monotonic() + limit, threading.Event()
    while not claim():
        if time.monotonic() > until:
            return False
        never.wait(0.01)
    return True
