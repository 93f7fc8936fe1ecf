"""The proof that the next version loads, in a child, before anything is closed for it."""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
from typing import TYPE_CHECKING

from ..core.deadline import Deadline
from .host import Host
from .image import PREFLIGHT, CommandLine
from .rundir import close

if TYPE_CHECKING:
    import subprocess

log = logging.getLogger("gatewaylock.image")

#: An alarm survives an exec: a version that hangs as it loads ends although we were killed meanwhile.
LIMITED = """
import os, signal, sys
signal.alarm(int(sys.argv[1]))
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"cannot start {sys.argv[2]}: {error}")
"""


class Proof:
    """A child that starts the next version, far enough to see that it loads, and ends.

    It runs the exact command line.  ``Gateway.run`` knows it by the PREFLIGHT variable and, in place
    of a life, writes one word into the descriptor named there: exit code 0 alone would also be that
    of a program that never comes to ``run``.
    """

    WORD = b"loads\n"

    def __init__(self, host: Host, line: CommandLine) -> None:
        self._host = host
        self._line = line
        self._child: subprocess.Popen[bytes] | None = None
        self._cancelled = False

    def run(self, deadline: Deadline) -> str:
        """Empty when the next version loads, else why not (with the end of what it said)."""
        read, write = os.pipe()
        try:
            try:
                child = self._start(write, deadline)
            except (OSError, ValueError) as error:
                return f"cannot start {self._line.argv[0]}: {error}"
            finally:
                close(write)
            try:
                return self._watch(child, read, deadline)
            finally:
                self._end(child)
        finally:
            close(read)

    def cancel(self) -> None:
        """End the child now; ``run`` then returns.  From any thread."""
        self._cancelled = True
        if self._child is not None:
            self._end(self._child)

    def _start(self, write: int, deadline: Deadline) -> subprocess.Popen[bytes]:
        from subprocess import DEVNULL, PIPE

        from .notify import for_child

        seconds = math.ceil(deadline.left()) + 1

        self._child = self._host.popen(
            [self._line.argv[0], "-I", "-S", "-c", LIMITED, str(seconds), *self._line.argv],
            cwd=self._line.cwd if os.path.isdir(self._line.cwd) else None,
            env={**for_child(self._line.environ), PREFLIGHT: str(write)},
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            pass_fds=(write,),
            start_new_session=True,
        )
        if self._cancelled:
            self._end(self._child)
        return self._child

    def _watch(self, child: subprocess.Popen[bytes], word: int, deadline: Deadline) -> str:
        said = {"word": b"", "stderr": b""}
        assert child.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(word, selectors.EVENT_READ, "word")
            selector.register(child.stderr, selectors.EVENT_READ, "stderr")
            while selector.get_map() and said["word"] != self.WORD:
                ready = selector.select(deadline.timeout())
                if not ready:
                    return f"not loaded in time; it said: {_tail(said['stderr'])}"
                for key, _ in ready:
                    chunk = os.read(key.fd, 65536)
                    said[key.data] = (said[key.data] + chunk)[-8192:]
                    if not chunk:
                        selector.unregister(key.fileobj)
        if said["word"] == self.WORD:
            return ""
        code = child.wait(deadline.timeout())
        return f"ended with exit code {code} before it was loaded; it said: {_tail(said['stderr'])}"

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            try:
                self._host.killpg(child.pid, signal.SIGKILL)  # its own session: nobody else's
            except ProcessLookupError:
                pass
            except OSError as error:
                log.warning("what the trial has started may go on: %s", error)
                child.kill()
            child.wait()
        if child.stderr is not None and not self._cancelled:
            child.stderr.close()


def in_preflight() -> int | None:
    """The descriptor that waits for the word, in a child of a Proof; None in any other process."""
    try:
        return int(os.environ.pop(PREFLIGHT))
    except (KeyError, ValueError):
        return None


def _tail(said: bytes) -> str:
    """What it ended with, and below that all: history and status have room for the first line alone."""
    text = said.decode("utf-8", "replace").strip() or "nothing"
    last = text.splitlines()[-1]
    return text if text == last else f"{last}\n{text}"
