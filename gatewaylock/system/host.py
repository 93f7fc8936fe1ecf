"""Every process-wide call we make, listed once, so that a test can fail each of them in turn."""

from __future__ import annotations

import faulthandler
import os
import signal
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess


def _popen(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
    import subprocess  # 10 ms that only a restart has to pay

    return subprocess.Popen(*args, **kwargs)


def _waitid(kind: int, who: int, options: int) -> Any:
    return os.waitid(kind, who, options)  # looked up when it is needed: not every system has it


@dataclass(frozen=True)
class Host:
    """The process we live in.  The roof hands each room this, and nothing else reaches out."""

    pid: Callable[[], int] = os.getpid
    chdir: Callable[[str], None] = os.chdir
    set_inheritable: Callable[[int, bool], None] = os.set_inheritable
    #: Replaces the image; returns only by raising OSError.
    execve: Callable[..., Any] = os.execve
    #: Starts a child process (the proof of the next version).
    popen: Callable[..., subprocess.Popen[bytes]] = _popen
    killpg: Callable[[int, int], None] = os.killpg
    #: Ends the process at once: no ``finally``, no ``atexit``.  Watchdog and third stop only.
    exit_now: Callable[[int], Any] = os._exit
    handle: Callable[..., Any] = signal.signal
    handled: Callable[[int], Any] = signal.getsignal
    mask: Callable[..., Any] = signal.pthread_sigmask
    siginterrupt: Callable[[int, bool], None] = signal.siginterrupt
    #: Waits for a child; one that is the application's must not be taken from it.
    waitid: Callable[[int, int, int], Any] = _waitid
    wakeup_fd: Callable[..., int] = signal.set_wakeup_fd
    #: The alarm that survives an exec; SIGALRM with its default action ends the process.
    alarm: Callable[..., Any] = signal.setitimer
    dump_later: Callable[..., None] = faulthandler.dump_traceback_later
    cancel_dump: Callable[[], None] = faulthandler.cancel_dump_traceback_later


def close_after_fork(method: Callable[[], None]) -> None:
    """Have *method* (bound) called in every forked child, as long as its object lives.

    ``multiprocessing`` children inherit every descriptor; one that kept our lock would hold the
    name for as long as it lives, long after a ``kill -9`` of the gateway.
    """
    assert isinstance(method, MethodType)
    _CLOSERS[method.__self__] = method.__func__


def _close_in_child() -> None:
    for owner, close in list(_CLOSERS.items()):
        close(owner)


# One hook for the process and not one for each object: CPython never lets go of a hook, and each life
# makes objects of this kind (measured: 0.9 KB a life).
_CLOSERS: weakref.WeakKeyDictionary[object, Callable[..., None]] = weakref.WeakKeyDictionary()
os.register_at_fork(after_in_child=_close_in_child)


def around_fork(
    before: Callable[[], None], in_parent: Callable[[], None], in_child: Callable[[], None]
) -> None:
    """Have these (bound) called before every fork and after it in either process, as long as their object lives."""
    os.register_at_fork(
        before=_weakly(before), after_in_parent=_weakly(in_parent), after_in_child=_weakly(in_child)
    )


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    assert isinstance(method, MethodType)
    ref = weakref.WeakMethod(method)

    def call() -> None:
        bound = ref()
        if bound is not None:
            bound()

    return call
