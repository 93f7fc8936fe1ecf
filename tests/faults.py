"""Each system call of a gateway fails once, in each of its positions: what comes of it.

A case is a story (start, work, restarts, stop; see STORIES) told to a gateway inside this process, one call
of which fails.  Afterwards it must serve, or have ended with the name free: never a wedge.
"""

from __future__ import annotations

import builtins
import dataclasses
import errno
import gc
import importlib
import json
import logging
import os
import pkgutil
import select
import selectors
import signal
import socket
import sys
import tempfile
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from inside import Inside, Paper, Quick, is_free
from speaking import eventually

import gatewaylock
from gatewaylock import Gateway, GatewayError
from gatewaylock.core.plan import Phase
from gatewaylock.system.host import Host
from gatewaylock.system.image import HANDOFF, PREFLIGHT

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
PATIENCE = 3.0  # seconds for each step of a story; all budgets in it are below


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


# -- children of paper ---------------------------------------------------------------------------------


class Children:
    """What ``popen`` starts: a proof that succeeds at once, or an actor that plays the successor."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.actors: list[int] = []

    def popen(self, words: list[str], *, env: Mapping[str, str], **options: Any) -> Any:
        """In the place of subprocess.Popen."""
        if PREFLIGHT in env:
            os.write(int(env[PREFLIGHT]), b"loads\n")
            read, write = os.pipe()
            os.close(write)
            return Child(0, stderr=os.fdopen(read, "rb", buffering=0))
        pid = self._act(int(json.loads(env[HANDOFF])["channel"]))
        self.actors.append(pid)
        return Child(pid, stdout=BytesIO(b"%d\n" % pid), stdin=BytesIO())

    def _act(self, channel: int) -> int:
        on, self._faults.on = self._faults.on, False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the child makes system calls only
                pid = os.fork()
            if not pid:
                play(channel)
        finally:
            self._faults.on = on
        return pid

    def end(self) -> None:
        """Nothing of them is left."""
        for pid in self.actors:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.actors.clear()


@dataclasses.dataclass
class Child:
    """As much of a Popen as is used."""

    pid: int
    stdout: Any = None
    stdin: Any = None
    stderr: Any = None

    def poll(self) -> int:
        """It has ended."""
        return 0

    def wait(self, timeout: float | None = None) -> int:
        """It has ended."""
        return 0

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stdout.close(), self.stdin.close()


def play(channel: int) -> None:
    """The successor's part of the hand-over, in a forked child that never comes back."""
    try:
        signal.alarm(30)
        os.write(channel, b'{"v": 1, "say": "warm"}\n')
        said = b""
        while b'"end"' not in said:
            said = os.read(channel, 65536)
            if b'"go"' in said:
                os.write(channel, b'{"v": 1, "say": "ready"}\n')
            if not said:
                break
    finally:
        os._exit(0)


# -- the stories ---------------------------------------------------------------------------------------


class Stage:
    """One gateway, told what to do; each step waits until it is answered, whatever the answer."""

    def __init__(self, faults: Faults, run_dir: Path, **options: Any) -> None:
        self.faults, self.run_dir = faults, run_dir
        self.children, self.paper = Children(faults), Paper()
        self.fails_at = 0  #: the life whose start() raises
        self.late: list[str] = []
        self.heard: list[str] = []  #: what callers were told
        self.futures: list[Any] = []
        self.release = threading.Event()
        self._listening = False
        self.room: Inside | None = None
        self._options = options

    def begin(self) -> Inside:
        """Start it, and wait until it serves, or has failed to."""
        paper = self.paper
        host = paper.host(popen=self.children.popen)
        hosted = self.faults.host(host)
        paper_host, paper.host = paper.host, lambda **calls: hosted  # type: ignore[method-assign]
        try:
            self.room = Inside(self.run_dir, self._start, paper=paper, **self._options)
        finally:
            paper.host = paper_host  # type: ignore[method-assign]
        self.room.begin()
        if not (self.room.serves(1, PATIENCE) or self.room.over):
            self.late.append("the first life did not begin")
        return self.room

    def _start(self, gateway: Gateway) -> Any:
        if gateway.life == self.fails_at:
            raise ValueError("a bad start")
        gateway.listen("127.0.0.1", 0)
        return Both() if self._options.get("restart_mode") == "overlap" else Quick()

    def restart(self, **how: Any) -> None:
        """Ask for one, and wait for what comes of it."""
        room = self.room
        assert room is not None
        mark = len(room.events)

        def answered() -> bool:
            return any(
                event.kind == "outcome" or (event.kind == "asked" and not event.facts["ok"])
                for event in room.events[mark:]
            )

        room.gateway.request_restart("a restart", **how)
        if not room.reaches(answered, PATIENCE) and not room.over:
            self.late.append(f"a restart was not answered: {room.gateway.phase.value}")
        if not (
            room.reaches(lambda: room.gateway.phase in (Phase.SERVING, Phase.PARKED), PATIENCE) or room.over
        ):
            self.late.append(f"after a restart: {room.gateway.phase.value}")

    def work(self) -> None:
        """A task that ends when it is told to, one behind it, and a run that ends when it is asked to."""
        room = self.room
        assert room is not None
        try:
            self.futures.append(room.gateway.lanes.submit(self.release.wait, 20))
            self.futures.append(room.gateway.lanes.submit(int))
        except (RuntimeError, GatewayError) as error:
            self.heard.append(repr(error))
        run = room.gateway.runs.register("job", abort=lambda: run.end())

    def ask(self, words: bytes) -> bytes:
        """A client of the control socket; what it is told."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            with suppress(OSError):
                client.connect(str(self.run_dir / "inside.sock"))
                client.sendall(words)
                return client.recv(65536)
        return b""


class Both(Quick):
    """A server that can pause."""

    def pause(self) -> None:
        """Nothing to do."""

    def resume(self) -> None:
        """Nothing to do."""


def stopped(stage: Stage) -> None:
    """Started, and stopped by a signal."""
    stage.begin()


def busy(stage: Stage) -> None:
    """Stopped with work that is not done in time."""
    stage.begin()
    stage.work()


def in_process(stage: Stage) -> None:
    """Two lives in one image, work that is kept over the end of the first."""
    stage.begin()
    stage.work()
    stage.restart(mode="in-process")
    stage.release.set()
    stage.restart(mode="in-process")


def exec_refused(stage: Stage) -> None:
    """The next version loads, and ``execve`` fails: on in this image."""
    stage.begin()
    stage.restart(mode="exec")


def parked(stage: Stage) -> None:
    """The second life does not start, the third does."""
    stage.fails_at = 2
    stage.begin()
    stage.restart(mode="in-process")
    stage.restart(mode="in-process")


def handed_over(stage: Stage) -> None:
    """A successor takes over."""
    stage.begin()
    stage.restart(mode="spawn")


def overlapped(stage: Stage) -> None:
    """A successor takes over while we serve."""
    stage.begin()
    stage.restart(mode="overlap")


def asked(stage: Stage) -> None:
    """A client asks how it is, for a restart, for a stop."""
    stage.begin()
    stage.ask(b'{"v": 1, "verb": "status"}\n')
    stage.ask(b'{"v": 1, "verb": "restart", "mode": "in-process"}\n')


STORIES: dict[str, tuple[Callable[[Stage], None], dict[str, Any]]] = {
    "stopped": (stopped, {}),
    "busy": (busy, {}),
    "in-process": (in_process, {}),
    "exec refused": (exec_refused, {}),
    "parked": (parked, {}),
    "handed over": (handed_over, {}),
    "overlapped": (overlapped, {"restart_mode": "overlap", "probation": 0.02}),
    "asked": (asked, {}),
}


# -- what must be true afterwards ----------------------------------------------------------------------


class Log(logging.Handler):
    """What was logged, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, with its traceback."""
        self.lines.append(f"{record.levelname} {logging.Formatter().format(record)}")


class Theatre:
    """Tells stories, one at a time."""

    def __init__(self) -> None:
        self.faults = Faults()

    def calls(self, story: str) -> Counter[str]:
        """How often each call is made when nothing fails.  AssertionError when something does."""
        found = self.tell(story, None)
        assert not found, (story, found)
        return self.faults.counts

    def tell(self, story: str, fault: Fault | None) -> list[str]:
        """What is wrong after *story* with *fault*; nothing, if all is well."""
        plot, options = STORIES[story]
        log = Log()
        logger = logging.getLogger("gatewaylock")
        before = _descriptors()
        with tempfile.TemporaryDirectory(prefix="gw-", ignore_cleanup_errors=True) as directory:
            run_dir = Path(directory) / "run"
            stage = Stage(self.faults, run_dir, **options)
            logger.addHandler(log)
            level, logger.level = logger.level, logging.INFO
            propagate, logger.propagate = logger.propagate, False
            self.died: list[str] = []
            hook, threading.excepthook = (
                threading.excepthook,
                lambda args: self.died.append(repr(args.exc_value)),
            )
            try:
                with self.faults.installed():
                    wrong = self._play(stage, plot, fault)
                    self.faults.on = False
                    wrong += _afterwards(stage, run_dir)
            finally:
                threading.excepthook = hook
                logger.removeHandler(log)
                logger.level, logger.propagate = level, propagate
                stage.children.end()
        heard = stage.heard
        del stage
        if not wrong and fault and self.faults.struck and not self._told(fault, [*log.lines, *heard]):
            wrong.append("nobody says what happened")
        wrong += [f"a thread died: {text}" for text in self.died]
        if not wrong and not eventually(lambda: _descriptors() <= before or (gc.collect() and False), 1):
            wrong.append(f"{_descriptors() - before} descriptor(s) left open")
        self.lines = log.lines
        return wrong

    def _play(self, stage: Stage, plot: Callable[[Stage], None], fault: Fault | None) -> list[str]:
        self.error: BaseException | None = None
        self.faults.begin(fault)
        try:
            plot(stage)
        except OSError as error:  # the making of the Gateway itself failed: heard by whoever made it
            self.error = error
        room = stage.room
        if room is None:
            return stage.late if self.error else ["no gateway, and no error"]
        wrong = list(stage.late) + _serving(stage, room)
        if room.paper.handlers.get(signal.SIGTERM) and not room.over:
            room.paper.signal(signal.SIGTERM)
        room.gateway.request_stop("the end of the story")
        if not room.ends(PATIENCE):
            room.gateway.request_stop("again")
            wrong.append(f"a stop was not heard: {room.gateway.phase.value}" if not room.over else "")
        stage.release.set()
        room.gateway.lanes.shutdown()  # where run() itself could not be
        if not room.ends(PATIENCE):
            wrong.append(f"the loop hangs: {room.gateway.phase.value}\n{_stack(room.thread)}")
        self.error = room.error
        served = any(event.kind == "phase" and event.facts["edge"] == "ready" for event in room.events)
        if served and isinstance(room.error, Exception):
            wrong.append(f"it had served, and died of {room.error!r}")
        return [text for text in wrong if text]

    def _told(self, fault: Fault, lines: list[str]) -> bool:
        if any(site in SILENT for site in self.faults.site):
            return True
        said = "\n".join([*lines, repr(self.error), str(self.error)])
        words = [os.strerror(fault.error), f"Errno {fault.error}", "can't start new thread"]
        return any(word in said for word in words)


def _serving(stage: Stage, room: Inside) -> list[str]:
    """Of one that says that it serves."""
    stage.faults.on, on = False, stage.faults.on
    try:
        if room.over or not room.gateway.status().ready:
            return []
        wrong = [] if not is_free(stage.run_dir) else ["it serves, and the name is free"]
        try:
            assert room.gateway.lanes.submit(int, lane="another").result(PATIENCE) == 0
        except Exception as error:
            wrong.append(f"it serves, and takes no work: {error!r}")
    finally:
        stage.faults.on = on
    return wrong


def _afterwards(stage: Stage, run_dir: Path) -> list[str]:
    """Of one that has ended, or never began."""
    wrong = [] if not run_dir.exists() or is_free(run_dir) else ["it has ended, and the name is not free"]
    unsettled = wait(stage.futures, PATIENCE).not_done
    wrong += [f"a future was never settled: {future}" for future in unsettled]
    return wrong


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


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)[-6:]) if frame else ""
