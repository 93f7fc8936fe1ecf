"""The next process image: how we were started, what we leave to it, the exec."""

from __future__ import annotations

import errno
import faulthandler
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..core.deadline import Deadline
from ..core.tried import tried
from .flushing import flush
from .host import Host, close_after_fork
from .inbox import signal_numbers
from .watchdog import never_blocking_stderr

HANDOFF = "GATEWAYLOCK_HANDOFF"
PREFLIGHT = "GATEWAYLOCK_PREFLIGHT"
#: what counts the descriptors that systemd passed to this image; the next one has them by hand-over
PASSED = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
#: how the pid of a successor, which it does not have yet when this is written, stands in the hand-over
PID_TO_COME = "pid-to-come"

log = logging.getLogger("gatewaylock.image")


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
        environ = {k: v for k, v in os.environ.items() if k not in (HANDOFF, PREFLIGHT, *PASSED)}
        # sys.executable, not orig_argv[0]: that may be relative to PATH.  Never resolved: a virtual
        # environment is known by its own path, and a symlink may lead to a newer release by now.
        return cls((sys.executable, *_absolute_script(sys.orig_argv, len(sys.argv), cwd)[1:]), cwd, environ)


def _absolute_script(orig: Sequence[str], count: int, cwd: str) -> list[str]:
    """*orig* with a script's relative path made absolute, so that it is found from anywhere."""
    argv = list(orig)
    at = len(argv) - count  # sys.argv is the tail of sys.orig_argv, from the script on
    module = re.fullmatch(r"-(?![XW])[a-zA-Z]*[mc]", argv[at - 1]) if 0 < at < len(argv) else None
    if cwd and 0 < at < len(argv) and not module and not argv[at].startswith("-"):
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
    door: dict[str, int]  #: the control socket, and that of the annex
    waiting: tuple[int, ...]  #: connections whose clients wait for the outcome
    unblock: tuple[int, ...]  #: the signals that were blocked for the exec alone
    deadline: float  #: monotonic instant at which the next start is overdue
    accepted: float  #: monotonic instant at which the restart was accepted
    cause: str = ""
    channel: int = -1  #: to the process that leaves; -1 over an exec, where that is this one
    terminal: bool = False  #: it had one; it may have closed meanwhile
    account: dict[str, Any] | None = None  #: of the restart: who, why, what it waited for
    foreign: tuple[str, ...] = ()  #: those among the listeners that a socket unit had passed
    left_at: float = 0.0  #: monotonic instant of the exec
    kept: dict[str, Any] = field(default_factory=dict)  #: what its annex leaves to ours

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
    def take(cls, name: str, pid: int, orphans: dict[str, int] | None = None) -> Handoff | None:
        """The hand-over meant for gateway *name* in process *pid*, removed from the environment at once.

        None when there is none, or when it is not for us: inherited through a child of a child, made
        by another version, or mangled.  What it claims is still to be proved, descriptor by descriptor.
        The listeners of one that is no use are put into *orphans* (address -> descriptor): closed, they
        could not be bound again where systemd holds them as well.
        """
        fields = _left_to_us(pid)
        if not fields:
            return None
        del os.environ[HANDOFF]
        try:
            if fields["name"] != name:
                raise ValueError(f"it is for gateway {fields['name']!r}, and this is {name!r}")
            for pair in ("lock", "wake", "waiting", "unblock"):
                fields[pair] = tuple(int(number) for number in fields[pair])
            fields["foreign"] = tuple(str(key) for key in fields.get("foreign", ()))
            handoff = cls(**{**fields, "pid": pid})
            os.fstat(handoff.channel if handoff.channel >= 0 else handoff.wake[0])
        except (KeyError, ValueError, TypeError, OSError) as error:
            _discard(fields, error, {} if orphans is None else orphans)
            return None
        return handoff


def _left_to_us(pid: int) -> dict[str, Any]:
    """The fields of a hand-over to process *pid*; none when there is none or it is not for us."""
    try:
        fields: dict[str, Any] = json.loads(os.environ[HANDOFF])
        return fields if fields["pid"] == str(pid) else {}
    except (KeyError, ValueError, TypeError):
        return {}


def _numbers(fields: Mapping[str, Any]) -> list[int]:
    """The descriptors that *fields* names, whatever version wrote them."""
    found: list[Any] = [fields.get("channel", -1)]
    for name in ("lock", "wake", "waiting"):
        found += fields.get(name) or []
    for name in ("listeners", "door"):
        found += (fields.get(name) or {}).values()
    return [number for number in found if isinstance(number, int) and number >= 0]


def _discard(fields: Mapping[str, Any], why: Exception, orphans: dict[str, int]) -> None:
    """We cannot be what the last image made us for: give up its name, and be a fresh start."""
    log.warning("what the last image left is given up: %s", why)
    for key, number in (fields.get("listeners") or {}).items():
        if isinstance(number, int) and number >= 0:
            orphans[key] = number
    for fd in _numbers(fields):
        if fd not in orphans.values():
            _quietly(os.close, fd)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if os.getpid() == 1:
        faulthandler.cancel_dump_traceback_later()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal_numbers())


def secure() -> None:
    """Right after an exec, before the program has made its Gateway: no child of it gets what is ours."""
    fields = _left_to_us(os.getpid())
    kept = _numbers(fields)

    def in_child() -> None:
        if HANDOFF in os.environ:  # not taken yet: nobody else closes them
            for fd in kept:
                _quietly(os.close, fd)

    for fd in kept:
        _quietly(os.set_inheritable, fd, False)
    os.register_at_fork(after_in_child=in_child)
    if fields and os.getpid() == 1:
        _watch_start(fields.get("deadline"))


class Unclaimed:
    """What the last image left us, from when it is taken until it has its owners: no child forked then gets it."""

    def __init__(self, handoff: Handoff | None) -> None:
        self._fds = handoff.descriptors() if handoff else ()
        close_after_fork(self.close)

    def close(self) -> None:
        """In a forked child."""
        for fd in self._fds:
            _quietly(os.close, fd)

    def claimed(self) -> None:
        """Its owners close it from now on, each its own."""
        self._fds = ()


def _watch_start(deadline: object) -> None:
    """In the place of the alarm, which pid 1 does not obey: the kernel spares it whatever has no handler."""
    left = deadline - time.monotonic() if isinstance(deadline, float) else 0.0
    file = never_blocking_stderr()
    if file is not None:
        faulthandler.dump_traceback_later(max(0.001, left), exit=True, file=file)


def execute(host: Host, line: CommandLine, handoff: Handoff) -> OSError:
    """Become the next image.  Returns only when that failed, with why; everything is as before then.

    The alarm covers the next image from its first instruction until it has its own watchdog: it
    survives the exec, where every timer of ours ends.
    """
    kept, old_cwd = handoff.descriptors(), _cwd()
    alarmed = None
    try:
        for fd in kept:
            host.set_inheritable(fd, True)
        if line.cwd and line.cwd != old_cwd:
            _try_chdir(host, line.cwd)
        alarmed = _set_alarm(host, Deadline(handoff.deadline))
        flush()
        left = replace(handoff, left_at=time.monotonic())
        host.execve(line.argv[0], list(line.argv), {**line.environ, HANDOFF: left.encode()})
    except (OSError, ValueError) as error:
        failure = error if isinstance(error, OSError) else OSError(str(error))
    else:
        failure = OSError("execve returned")
    _unset_alarm(host, alarmed)
    for fd in kept:
        _quietly(host.set_inheritable, fd, False)
    if old_cwd and old_cwd != line.cwd:
        _try_chdir(host, old_cwd)
    return failure


def _set_alarm(host: Host, deadline: Deadline) -> tuple[Any, bool] | None:
    """The handler and the mask that were there: an alarm that is ignored or blocked would end nobody."""
    handler = None
    if threading.current_thread() is threading.main_thread():
        handler = host.handle(signal.SIGALRM, signal.SIG_DFL)
    blocked = signal.SIGALRM in host.mask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    host.alarm(signal.ITIMER_REAL, max(0.001, deadline.left()))
    return handler, blocked


def _unset_alarm(host: Host, before: tuple[Any, bool] | None) -> None:
    tried(host.alarm, signal.ITIMER_REAL, 0)
    if before is not None:
        handler, blocked = before
        if blocked:
            host.mask(signal.SIG_BLOCK, [signal.SIGALRM])
        if handler is not None:
            host.handle(signal.SIGALRM, handler)


def _quietly(call: Callable[..., object], *args: object) -> None:
    try:
        call(*args)
    except OSError as error:
        if error.errno != errno.EBADF:  # closed already, by a program that closes everything
            log.warning("what was made ready for the next image is not as it was: %s", error)


def block_signals(host: Host) -> tuple[int, ...]:
    """Block our signals in this thread; those that were not blocked before, to unblock again."""
    try:
        before = host.mask(signal.SIG_BLOCK, signal_numbers())
    except OSError as error:
        log.warning("signals cannot be blocked: %s", error)  # one that comes now ends the next image
        return ()
    return tuple(int(number) for number in signal_numbers() if number not in before)


def unblock_signals(host: Host, numbers: Sequence[int]) -> None:
    """The other half."""
    tried(host.mask, signal.SIG_UNBLOCK, numbers)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _try_chdir(host: Host, path: str) -> None:
    try:
        host.chdir(path)
    except OSError as error:
        log.warning("cannot go back to %s: %s", path, error.strerror)
