"""The next process image: how we were started, the proof that it loads, the exec."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any

from ..core.deadline import Deadline
from .host import Host
from .inbox import signal_numbers

if TYPE_CHECKING:
    import subprocess

HANDOFF = "GATEWAYLOCK_HANDOFF"
PREFLIGHT = "GATEWAYLOCK_PREFLIGHT"
#: how the pid of a successor, which it does not have yet when this is written, stands in the hand-over
PID_TO_COME = "pid-to-come"


@dataclass(frozen=True)
class CommandLine:
    """How this process was started, to do exactly that again."""

    argv: tuple[str, ...]
    cwd: str
    environ: Mapping[str, str]

    @classmethod
    def here(cls) -> CommandLine:
        """Ours.  Taken early: a program may change its directory and environment later."""
        try:
            cwd = os.getcwd()
        except OSError:
            cwd = ""  # deleted; the next image starts there as well, it is what we have
        environ = {k: v for k, v in os.environ.items() if k not in (HANDOFF, PREFLIGHT)}
        # sys.executable, not orig_argv[0]: that may be relative to PATH.  Never resolved: a virtual
        # environment is known by its own path, and a symlink may lead to a newer release by now.
        return cls((sys.executable, *_absolute_script(sys.orig_argv, len(sys.argv), cwd)[1:]), cwd, environ)


def _absolute_script(orig: Sequence[str], count: int, cwd: str) -> list[str]:
    """*orig* with a script's relative path made absolute, so that it is found from anywhere."""
    argv = list(orig)
    at = len(argv) - count  # sys.argv is the tail of sys.orig_argv, from the script on
    if cwd and 0 < at < len(argv) and argv[at - 1] not in ("-m", "-c") and not argv[at].startswith("-"):
        path = os.path.normpath(os.path.join(cwd, argv[at]))
        if os.path.exists(path):
            argv[at] = path
    return argv


@dataclass(frozen=True)
class Handoff:
    """What one image leaves to the next, in one environment variable.  Descriptors are open."""

    name: str
    pid: int
    life: int  #: of the image that leaves
    began: float  #: monotonic instant of the first life's beginning
    lock: tuple[int, int]
    wake: tuple[int, int]
    listeners: dict[str, int]
    door: dict[str, int]  #: the control socket
    waiting: tuple[int, ...]  #: connections whose clients wait for the outcome
    unblock: tuple[int, ...]  #: the signals that were blocked for the exec alone
    deadline: float  #: monotonic instant at which the next start is overdue
    accepted: float  #: monotonic instant at which the restart was accepted
    cause: str = ""
    channel: int = -1  #: to the process that leaves; -1 over an exec, where that is this one
    version: int = field(default=1)

    def descriptors(self) -> tuple[int, ...]:
        """All that must stay open over the exec."""
        every = (
            *self.lock,
            *self.wake,
            *self.listeners.values(),
            *self.door.values(),
            *self.waiting,
            self.channel,
        )
        return tuple(fd for fd in every if fd >= 0)

    def encode(self) -> str:
        """For the environment."""
        fields = {**asdict(self), "pid": str(self.pid or PID_TO_COME)}
        return json.dumps(fields)

    @classmethod
    def take(cls, name: str, pid: int) -> Handoff | None:
        """The hand-over meant for gateway *name* in process *pid*, removed from the environment at once.

        None when there is none, or when it is not for us: inherited through a child of a child, made
        by another version, or mangled.  What it claims is still to be proved, descriptor by descriptor.
        """
        try:
            fields: dict[str, Any] = json.loads(os.environ[HANDOFF])
            for pair in ("lock", "wake", "waiting", "unblock"):
                fields[pair] = tuple(int(number) for number in fields[pair])
            handoff = cls(**{**fields, "pid": int(fields["pid"])})
            os.fstat(handoff.channel if handoff.channel >= 0 else handoff.wake[0])
        except KeyError:
            return None
        except (ValueError, TypeError, OSError):
            del os.environ[HANDOFF]
            return None
        if handoff.version != 1 or handoff.pid != pid or handoff.name != name:
            return None
        del os.environ[HANDOFF]
        return handoff


def execute(host: Host, line: CommandLine, handoff: Handoff) -> OSError:
    """Become the next image.  Returns only when that failed, with why; everything is as before then.

    The alarm covers the next image from its first instruction until it has its own watchdog: it
    survives the exec, where every timer of ours ends.
    """
    kept = handoff.descriptors()
    old_cwd = _cwd()
    try:
        for fd in kept:
            host.set_inheritable(fd, True)
        if line.cwd and line.cwd != old_cwd:
            _try_chdir(host, line.cwd)
        host.alarm(signal.ITIMER_REAL, max(0.001, Deadline(handoff.deadline).left()))
        _flush()
        host.execve(line.argv[0], list(line.argv), {**line.environ, HANDOFF: handoff.encode()})
    except (OSError, ValueError) as error:
        failure = error if isinstance(error, OSError) else OSError(str(error))
    else:
        failure = OSError("execve returned")
    host.alarm(signal.ITIMER_REAL, 0)
    for fd in kept:
        host.set_inheritable(fd, False)
    if old_cwd and old_cwd != line.cwd:
        _try_chdir(host, old_cwd)
    return failure


def block_signals(host: Host) -> tuple[int, ...]:
    """Block our signals in this thread; those that were not blocked before, to unblock again."""
    before = host.mask(signal.SIG_BLOCK, signal_numbers())
    return tuple(int(number) for number in signal_numbers() if number not in before)


def unblock_signals(host: Host, numbers: Sequence[int]) -> None:
    """The other half."""
    host.mask(signal.SIG_UNBLOCK, numbers)


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
        with os.fdopen(read, "rb", buffering=0) as word:
            try:
                child = self._start(write)
            except (OSError, ValueError) as error:
                return f"cannot start {self._line.argv[0]}: {error}"
            finally:
                os.close(write)
            try:
                return self._watch(child, word, deadline)
            finally:
                self._end(child)

    def cancel(self) -> None:
        """End the child now; ``run`` then returns.  From any thread."""
        self._cancelled = True
        if self._child is not None:
            self._end(self._child)

    def _start(self, write: int) -> subprocess.Popen[bytes]:
        from subprocess import DEVNULL, PIPE

        self._child = self._host.popen(
            list(self._line.argv),
            cwd=self._line.cwd if os.path.isdir(self._line.cwd) else None,
            env={**self._line.environ, PREFLIGHT: str(write)},
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            pass_fds=(write,),
            start_new_session=True,
        )
        return self._child

    def _watch(self, child: subprocess.Popen[bytes], word: IO[bytes], deadline: Deadline) -> str:
        said = {"word": b"", "stderr": b""}
        assert child.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(word, selectors.EVENT_READ, "word")
            selector.register(child.stderr, selectors.EVENT_READ, "stderr")
            while selector.get_map() and said["word"] != self.WORD:
                ready = selector.select(deadline.timeout())
                if not ready:
                    return f"not loaded in time; it said:\n{_tail(said['stderr'])}"
                for key, _ in ready:
                    chunk = os.read(key.fd, 65536)
                    said[key.data] = (said[key.data] + chunk)[-8192:]
                    if not chunk:
                        selector.unregister(key.fileobj)
        if said["word"] == self.WORD:
            return ""
        code = child.wait(deadline.timeout())
        return f"ended with exit code {code} before it was loaded; it said:\n{_tail(said['stderr'])}"

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            try:
                self._host.killpg(child.pid, signal.SIGKILL)  # its own session: nobody else's
            except ProcessLookupError:
                pass
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
    return said.decode("utf-8", "replace").strip() or "nothing"


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _try_chdir(host: Host, path: str) -> None:
    try:
        host.chdir(path)
    except OSError as error:
        logging.getLogger("gatewaylock.image").warning("cannot go back to %s: %s", path, error.strerror)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass  # a closed pipe: nothing to save
    for handler in logging.getLogger().handlers:
        handler.flush()
