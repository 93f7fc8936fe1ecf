"""A terminal with a shell in it, at which a test types."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from speaking import LIMIT, environment

CTRL_C, CTRL_Z = "\x03", "\x1a"


def why_no_terminal() -> str:
    """Why there can be none here; empty where there can."""
    return "" if shutil.which("setsid") else "setsid (util-linux) is not installed"


class Terminal:
    """An interactive ``sh``, the leader of its session, with job control."""

    def __init__(self, cwd: Path) -> None:
        self._master, slave = pty.openpty()
        self.shell = subprocess.Popen(
            ["setsid", "--ctty", "sh", "-i"], stdin=slave, stdout=slave, stderr=slave, cwd=cwd,
            env=environment(PS1="$ ", TERM="dumb"),
        )  # fmt: skip
        os.close(slave)
        self._text, self._read = "", 0
        self._hang_up, self._hung_up = os.pipe()
        self._changed = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        poller = select.poll()
        for fd in (self._master, self._hang_up):
            poller.register(fd, select.POLLIN)
        with suppress(OSError):  # EIO: nobody has the other side any more
            while self._hang_up not in dict(poller.poll()):
                more = os.read(self._master, 65536)
                with self._changed:
                    self._text += more.decode(errors="replace")
                    self._changed.notify_all()

    def type(self, text: str) -> None:
        """Keys."""
        os.write(self._master, text.encode())

    def enter(self, *words: str | Path) -> None:
        """A command, and what ends it."""
        self.type(f"{shlex.join(str(word) for word in words)}\n")

    def hears(self, pattern: str, limit: float = LIMIT) -> re.Match[str]:
        """The next text that matches; what stands before it is passed over."""
        until = time.monotonic() + limit
        with self._changed:
            while not (found := re.compile(pattern).search(self._text, self._read)):
                if not self._changed.wait(until - time.monotonic()):
                    raise AssertionError(f"the terminal never showed {pattern!r}:\n{self._text}")
            self._read = found.end()
            return found

    def close(self) -> None:
        """As a window is closed: the kernel sends SIGHUP to the shell and to what runs in the foreground."""
        if self._master < 0:
            return
        os.close(self._hung_up)  # first: a reader would keep the terminal open
        self._listener.join()
        os.close(self._hang_up)
        os.close(self._master)
        self._master = -1


@contextmanager
def terminal(cwd: Path) -> Iterator[Terminal]:
    """One, with everything that was started in it gone at the end (but for what left its session)."""
    term = Terminal(cwd)
    try:
        yield term
    finally:
        term.close()
        term.shell.kill()
        term.shell.wait()
