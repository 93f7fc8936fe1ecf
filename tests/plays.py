"""Stories of a gateway inside this process: start, work, restarts, stop; and the actors that play its children."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from faults import Faults
from inside import Inside, Paper, Quick

from gatewaylock import Gateway, GatewayError
from gatewaylock.core.plan import Phase
from gatewaylock.system.history import SIZE
from gatewaylock.system.image import HANDOFF, PREFLIGHT

PATIENCE = 3.0  # seconds for each step of a story; all budgets in it are below


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
            return Child(0, code=None, stderr=os.fdopen(read, "rb", buffering=0))
        pid = self._act(int(json.loads(env[HANDOFF])["channel"]))
        self.actors.append(pid)
        read, write = os.pipe()
        os.write(write, b"%d\n" % pid)
        os.close(write)
        return Child(pid, stdout=os.fdopen(read, "rb"), stdin=BytesIO())

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
    """As much of a Popen as is used; ``code`` is None while it runs."""

    pid: int
    code: int | None = 0
    stdout: Any = None
    stdin: Any = None
    stderr: Any = None

    def poll(self) -> int | None:
        """Whether it has ended."""
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        """It ends."""
        self.code = self.code or 0
        return self.code

    def kill(self) -> None:
        """It ends."""


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
    """The next version loads, and ``execve`` fails: on in this image.  The program has gone to another directory."""
    here = os.getcwd()
    os.chdir(stage.run_dir.parent)
    try:
        stage.begin()
    finally:
        os.chdir(here)
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


def rotated(stage: Stage) -> None:
    """Its history is full."""
    stage.run_dir.mkdir(0o700)
    with os.fdopen(os.open(stage.run_dir / "inside.history", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write('{"at": 1, "event": "start", "pid": 1}\n' * (SIZE // 30))
    stage.begin()


STORIES: dict[str, tuple[Callable[[Stage], None], dict[str, Any]]] = {
    "stopped": (stopped, {}),
    "busy": (busy, {}),
    "in-process": (in_process, {}),
    "exec refused": (exec_refused, {}),
    "parked": (parked, {}),
    "handed over": (handed_over, {}),
    "overlapped": (overlapped, {"restart_mode": "overlap", "probation": 0.02}),
    "asked": (asked, {}),
    "rotated": (rotated, {}),
}
