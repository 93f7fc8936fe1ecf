"""Each system call of a gateway can be made to fail once, in each of its positions."""

from __future__ import annotations

import builtins
import dataclasses
import errno
import importlib
import os
import pkgutil
import select
import selectors
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

import gatewaylock
from gatewaylock.system.host import Host

ERRORS = (errno.EACCES, errno.EMFILE, errno.ENOSPC, errno.EIO, errno.EINTR, errno.ENOMEM)
#: of modules that ours import: the calls that may fail
CALLS: dict[str, tuple[str, ...]] = {
    "os": (
        *("open", "close", "read", "write", "pread", "pwrite", "ftruncate", "fstat", "stat", "lstat", "dup"),
        *("pipe", "pipe2", "unlink", "replace", "mkdir", "makedirs", "fdopen", "fchmod", "chmod", "readlink"),
        *("getcwd", "pidfd_open", "set_inheritable"),
    ),
    "socket": ("socketpair",),
    "threading": (),
    "faulthandler": (),
    "select": (),
    "selectors": (),
    "fcntl": ("flock",),
    "signal": ("pidfd_send_signal", "sigpending"),
}
SOCKET = ("bind", "listen", "accept", "connect", "send", "sendall", "recv", "getsockopt")
#: where a failure changes nothing that anybody would want to know, and is not told
SILENT = {
    "system.hangup._has_terminal": "no terminal",
    "system.process._stat": "what /proc tells is for people, or evidence beside other evidence",
    "system.process.words": "the same",
    "system.process.title": "the same",
    "system.process.environment": "the same",
    "system.supervisor.evidence.unit_of": "the same",
    "system.image._cwd": "a directory that is gone",
    "system.flushing.flush": "flushed without a thread",
    "system.image.here": "a directory that is gone; the next image starts there as well",
    "system.history._read": "the history is for people",
    "system.rundir.is_linked": "looked at again",
    "system.rundir.close": "of what was only looked at",
    "system.flock.is_open": "EBADF alone means that it is not",
    "system.guard.address_of": "one namespace for all, where /proc does not tell",
    "system.watchdog.never_blocking_stderr": "a copy has to do",
    "system.binding.is_socket": "bind says what is wrong",
    "system.binding._remove_stale": "the same",
    "system.binding.unlink_own": "a leftover is replaced by the next start",
    "system.inbox.wake": "tried again",
    "control.server._look": "it looks anyway",
}

#: (call, error) that say something else, which is waited for or looked at again
MEANT = {("fcntl.flock", errno.EACCES): "somebody else has it"}


@dataclasses.dataclass(frozen=True)
class Fault:
    """The *at*-th call of *op* fails with *error*."""

    op: str
    at: int
    error: int


class Faults:
    """Stands in all modules of ours before the calls of CALLS and of Host; counts them, and lets one fail."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.fault: Fault | None = None
        self.struck = self.on = False
        self.site: tuple[str, ...] = ()  #: where it struck
        self.on_strike: Callable[[tuple[str, ...]], object] = lambda site: None
        self._lock = threading.Lock()

    def begin(self, fault: Fault | None) -> None:
        """Count anew, and have *fault* happen."""
        self.counts, self.fault, self.struck, self.on = Counter(), fault, False, True

    def passes(self, op: str) -> None:
        """A call of *op* is being made.  OSError when it is the one."""
        with self._lock:
            if not self.on:
                return
            self.counts[op] += 1
            if self.fault is None or (op, self.counts[op]) != (self.fault.op, self.fault.at):
                return
            self.struck = True
            self.site = _site()
        self.on_strike(self.site)
        if op == "Thread.start":
            raise RuntimeError("can't start new thread")
        raise OSError(self.fault.error, os.strerror(self.fault.error))

    def before(self, op: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """*call*, which may fail."""

        def stand_in(*args: Any, **kw: Any) -> Any:
            if op == "os.close":
                call(*args, **kw)  # Linux closes it, whatever the error
                return self.passes(op)
            self.passes(op)
            return call(*args, **kw)

        return stand_in

    def host(self, host: Host) -> Host:
        """*host*, each call of which may fail."""
        fields = [field.name for field in dataclasses.fields(Host)]
        return Host(**{name: self.before(f"host.{name}", getattr(host, name)) for name in fields})

    @contextmanager
    def installed(self) -> Iterator[None]:
        """In all our modules, inside the block."""
        stand_ins = {name: self._module(name) for name in CALLS}
        undo: list[tuple[ModuleType, str, Any]] = []
        for module in modules():
            for name, stand_in in stand_ins.items():
                if name in vars(module):
                    undo.append((module, name, vars(module)[name]))
                    setattr(module, name, stand_in)
            if module.__name__.startswith("gatewaylock.system"):
                module.open = self.before("open", builtins.open)  # type: ignore[attr-defined]
        portalocker = importlib.import_module("portalocker.portalocker")
        undo.append((portalocker, "LOCKER", portalocker.LOCKER))
        portalocker.LOCKER = self.before("fcntl.flock", portalocker.LOCKER)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for module, name, real in undo:
                setattr(module, name, real)
            for module in modules():
                vars(module).pop("open", None)

    def _module(self, name: str) -> Any:
        real = importlib.import_module(name)
        own: dict[str, Any] = {
            call: self.before(f"{name}.{call}", getattr(real, call)) for call in CALLS[name]
        }
        if name == "faulthandler":
            own["dump_traceback"] = lambda *args, **kw: None
        own.update(
            {"socket": self._sockets, "threading": self._threads, "select": self._polls}.get(name, dict)()
        )
        if name == "selectors":
            own.update(self._selectors())

        class StandIn:
            def __getattr__(self, attribute: str) -> Any:
                return own[attribute] if attribute in own else getattr(real, attribute)

        return StandIn()

    def _sockets(self) -> dict[str, Any]:
        faults = self

        class Socket(socket.socket):
            def __init__(self, *args: Any, **kw: Any) -> None:
                faults.passes("socket.socket")
                super().__init__(*args, **kw)

        for call in SOCKET:
            setattr(Socket, call, _method(faults, f"socket.{call}", getattr(socket.socket, call)))
        return {"socket": Socket}

    def _threads(self) -> dict[str, Any]:
        faults = self

        class Thread(threading.Thread):
            def start(self) -> None:
                faults.passes("Thread.start")
                super().start()

        class Timer(threading.Timer):
            def start(self) -> None:
                faults.passes("Thread.start")
                super().start()

        return {"Thread": Thread, "Timer": Timer}

    def _polls(self) -> dict[str, Any]:
        faults = self

        class Poll:
            def __init__(self) -> None:
                self._real = select.poll()
                self.register = self._real.register

            def poll(self, *args: Any) -> Any:
                faults.passes("poll")
                return self._real.poll(*args)

        return {"poll": Poll}

    def _selectors(self) -> dict[str, Any]:
        faults = self

        class Selector(selectors.DefaultSelector):
            def __init__(self) -> None:
                faults.passes("selector")
                super().__init__()

            def register(self, *args: Any, **kw: Any) -> Any:
                faults.passes("selector.register")
                return super().register(*args, **kw)

            def select(self, *args: Any) -> Any:
                faults.passes("selector.select")
                return super().select(*args)

        return {"DefaultSelector": Selector}


def _site() -> tuple[str, ...]:
    """Where in our code the call is made that fails, as ``module.function``, the caller's last."""
    frame: FrameType | None = sys._getframe(2)
    chain = []
    while frame is not None:
        name = frame.f_globals["__name__"]
        if name.startswith("gatewaylock."):
            chain.append(f"{name.removeprefix('gatewaylock.')}.{frame.f_code.co_name}")
        frame = frame.f_back
    return tuple(chain)


def _method(faults: Faults, op: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kw: Any) -> Any:
        faults.passes(op)
        return real(self, *args, **kw)

    return call


def modules() -> list[ModuleType]:
    """All of ours that a gateway consists of."""
    names = [info.name for info in pkgutil.walk_packages(gatewaylock.__path__, "gatewaylock.")]
    wanted = [
        name
        for name in names
        if name.split(".")[1] in ("core", "system", "work", "control", "loop", "gateway")
    ]
    return [importlib.import_module(name) for name in wanted]
