"""Real terminals: a pseudo-terminal that we read ourselves, and tmux, which draws what is written to it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from speaking import LIMIT, environment, eventually


class Terminal:
    """A program on a terminal of its own; everything that it writes there."""

    def __init__(self, argv: list[str], columns: int, env: dict[str, str]) -> None:
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.execvpe(argv[0], argv, env)
        self.resize(columns)
        self.text = ""

    def resize(self, columns: int, rows: int = 24) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def types(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def shows(self, pattern: str, limit: float = LIMIT) -> str:
        """What was written until *pattern* was there, and not looked at before."""
        until = time.monotonic() + limit
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < until and self._read(until), (
                f"never shown: {pattern!r} in {self.text[-1000:]!r}"
            )
        seen, self.text = self.text[: found.end()], self.text[found.end() :]
        return seen

    def ends(self, limit: float = LIMIT) -> tuple[int, str]:
        """The exit code, and the rest of what was written."""
        until = time.monotonic() + limit
        while self._read(until):
            assert time.monotonic() < until, self.text
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status), self.text

    def close(self) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def _read(self, until: float) -> bool:
        """False at the end."""
        if select.select([self._fd], [], [], max(0.0, until - time.monotonic()))[0]:
            try:
                said = os.read(self._fd, 65536)
            except OSError:  # Linux says the end of a terminal so
                return False
            self.text += said.decode(errors="replace")
            return bool(said)
        return True


@contextmanager
def terminal(*argv: str, columns: int = 80, **env: str) -> Iterator[Terminal]:
    """*argv* on a pseudo-terminal."""
    made = Terminal(list(argv), columns, {**environment(), "TERM": "xterm", **env})
    try:
        yield made
    finally:
        made.close()


class Tmux:
    """A tmux of our own with one window."""

    def __init__(self, command: str, columns: int) -> None:
        self._socket = f"gatewaylock-test-{uuid.uuid4().hex[:8]}"
        words = ("new-session", "-d", "-x", str(columns), "-y", "24", f"{command}; printf over; cat")
        self._call("-f", "/dev/null", *words)

    def _call(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self._socket, *words],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def resize(self, columns: int) -> None:
        self._call("resize-window", "-x", str(columns), "-y", "24")

    def screen(self) -> list[str]:
        """The lines that are seen and not empty.  A resize moves rows into the scrollback, where nobody erases."""
        return [line for line in self._call("capture-pane", "-p").splitlines() if line.strip()]

    def shows(self, *patterns: str, above: str = "") -> bool:
        """Whether each line that is seen comes to match its pattern, and there are no more, but for *above*."""

        def all_of_them() -> bool:
            lines = [line for line in self.screen() if not re.fullmatch(above, line)]
            pairs = zip(patterns, lines, strict=False)
            return len(lines) == len(patterns) and all(re.fullmatch(*pair) for pair in pairs)

        return eventually(all_of_them)

    def close(self) -> None:
        with suppress(AssertionError):
            self._call("kill-server")


@contextmanager
def tmux(command: str, columns: int = 80) -> Iterator[Tmux]:
    """*command* in a window of tmux; ``over`` is shown at its end."""
    made = Tmux(command, columns)
    try:
        yield made
    finally:
        made.close()
