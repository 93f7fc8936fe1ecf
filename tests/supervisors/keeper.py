"""What all supervisors have in common, seen from a test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import ClassVar

from speaking import environment, eventually

from .service import Service, children

#: a supervisor gets this long for what it is asked for, in seconds
PATIENCE = 30.0


class Keeper:
    """One real supervisor, working in a directory of its own; a context manager.

    A keeper is entered, told of its services (``add``), and asked to start and stop them by its own
    commands.  At the end it and everything that came of it is gone.
    """

    #: how people call it
    name: ClassVar[str]
    #: commands that it needs, and where they come from
    tools: ClassVar[tuple[str, ...]] = ()
    debian: ClassVar[str] = ""
    pypi: ClassVar[str] = ""
    #: whether it starts again what ends by kill -9; one that does not ends with it
    revives: ClassVar[bool] = True
    #: whether it starts again what ends with 78
    insists: ClassVar[bool] = False
    #: how often it starts that otherwise, where it ends at once
    tries: ClassVar[int] = 1
    #: what ends it, when a test is over
    end_by: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, work: Path, bin_dir: Path | None = None) -> None:
        self.work = work
        self._bin = bin_dir
        self._services: list[Service] = []
        self._stack = ExitStack()

    @classmethod
    def why_not(cls, bin_dir: Path | None = None) -> str:
        """Why this machine cannot have it; empty where it can."""
        missing = [tool for tool in cls.tools if not shutil.which(tool, path=_path(bin_dir))]
        return f"{cls.name}: {', '.join(missing)} not installed" if missing else ""

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._stack.close()
        finally:
            for service in self._services:
                service.kill_all()

    def add(self, service: Service) -> None:
        """Know *service*; it is not started."""
        self._services.append(service)

    def start(self, service: Service) -> None:
        """Have it started; does not wait for more than the supervisor does."""
        raise NotImplementedError

    def stop(self, service: Service) -> None:
        """Have it stopped; returns when the supervisor says that it is."""
        raise NotImplementedError

    def pid(self, service: Service) -> int | None:
        """The pid that it takes for the service's, as seen from outside; None when there is none."""
        raise NotImplementedError

    def state(self, service: Service) -> str:
        """What it says of the service, in its own words."""
        return "up" if self.pid(service) else "down"

    def rests(self, service: Service) -> bool:
        """Whether it is down and will not be started again by itself."""
        raise NotImplementedError

    def starts(self, service: Service) -> int:
        """How often the supervisor itself has started it anew, where that is limited."""
        return 0

    def kill(self, service: Service) -> None:
        """kill -9 for the process that it watches."""
        pid = self.pid(service)
        assert pid is not None, f"{self.name} knows no pid of {service.name}"
        os.kill(pid, signal.SIGKILL)

    # -- for the classes below -----------------------------------------------------------------------

    def _ask(self, *words: str | Path, good: bool = True) -> str:
        """What a command of the supervisor says."""
        done = subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, timeout=PATIENCE,
            env=environment(PATH=_path(self._bin)), cwd=self.work,
        )  # fmt: skip
        if good and done.returncode != 0:
            raise AssertionError(f"{words}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def _run(self, *words: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """A process beside us, that speaks into *log*; it is asked to end when we are done, then made to."""
        with open(log, "ab") as out:
            popen = subprocess.Popen(
                [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=environment(PATH=_path(self._bin)), cwd=self.work, start_new_session=True,
            )  # fmt: skip
        self._stack.callback(_end, popen, self.end_by)
        return popen


def _end(popen: subprocess.Popen[bytes], by: signal.Signals) -> None:
    popen.send_signal(by)
    try:
        popen.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()


def _path(bin_dir: Path | None) -> str:
    found = os.environ.get("PATH", os.defpath)
    return f"{bin_dir}{os.pathsep}{found}" if bin_dir else found


class Child(Keeper):
    """One that has the gateway as its child, and is itself started for each service.

    ``_words`` are its command line, given the service.
    """

    def __init__(self, work: Path, bin_dir: Path | None = None) -> None:
        super().__init__(work, bin_dir)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def _words(self, service: Service) -> list[str]:
        raise NotImplementedError

    def start(self, service: Service) -> None:
        """Start the supervisor with its service."""
        self._running[service.name] = self._run(*self._words(service), log=service.log)

    def over(self, service: Service) -> int | None:
        """The exit code of the supervisor; None while it is there."""
        return self._running[service.name].poll()

    def pid(self, service: Service) -> int | None:
        """Its only child."""
        return next(iter(children(self._running[service.name].pid)), None)

    def rests(self, service: Service) -> bool:
        """The supervisor has ended with it."""
        return self.over(service) is not None

    def state(self, service: Service) -> str:
        """Up as long as it is there, whatever lives on without it."""
        over = self.over(service)
        return "up" if over is None else f"ended ({over})"

    def stop(self, service: Service) -> None:
        """A signal to the gateway; its end is that of the supervisor."""
        pid = self.pid(service)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert eventually(lambda: self.over(service) is not None, PATIENCE), service.text()
