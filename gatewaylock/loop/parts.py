"""What a gateway is made of, in one frozen value that the loop works with."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..core.limits import Limits
from ..core.plan import Mode, Request
from ..core.tried import tried
from ..system.host import Host
from ..system.image import CommandLine, Handoff
from ..system.inbox import Meaning
from ..work.drain import Drain
from ..work.inventory import Inventory
from ..work.lanes import Lanes
from ..work.permit import Restarts
from ..work.runs import Runs
from .watched import Watched

if TYPE_CHECKING:
    from ..system.passed import Passed
    from .annex import Annex

FRESH = (Mode.SPAWN, Mode.OVERLAP)


@dataclass(frozen=True)
class Options:
    """How a gateway was asked to behave; see ``Gateway``."""

    name: str
    restart_mode: Mode
    mode_why: str  #: why it is that mode, for the log
    run_dir: str | None
    port: int | None
    restart_exit_code: int
    escalate: bool
    multi: bool  #: GATEWAY_ALLOW_MULTI: no lock
    preflight: Callable[[], object] | None
    probation: float  #: seconds that a successor has to live before we leave (overlap)
    hangup: Meaning  #: what SIGHUP asks for here
    watched: Watched  #: by whom, and what that allows
    annex: Annex | None = None  #: a door beside the control socket, such as an admin page

    def __post_init__(self) -> None:
        for what, value, most in (
            ("port", self.port, 65535),
            ("restart_exit_code", self.restart_exit_code, 255),
        ):
            if not (value is None and what == "port") and not (isinstance(value, int) and 0 <= value <= most):
                raise ConfigError(f"{what} {value!r}: use a whole number, 0 to {most}")
        if self.preflight is not None and not callable(self.preflight):
            raise ConfigError(f"preflight {self.preflight!r}: use a function without arguments")

    @property
    def limits(self) -> Limits:
        """The budgets in force: a supervisor that answers late may cut them after the start."""
        return self.watched.limits

    def mode_for(self, request: Request) -> Mode:
        """How the life after *request* begins; ``exec`` where what was asked for would be wrong."""
        mode = request.mode or self.restart_mode
        return Mode.EXEC if self.why_exec(mode) else mode

    def why_exec(self, mode: Mode) -> str:
        """Why *mode* becomes ``exec`` here, for people; empty where it does not."""
        return self.watched.found.why_exec(mode)


@dataclass(frozen=True)
class Work:
    """Everything live: one Condition for all of it, so that one wait sees every change."""

    lanes: Lanes
    runs: Runs
    restarts: Restarts
    drain: Drain
    inventory: Inventory

    @classmethod
    def make(
        cls, threads: int, emit: Callable[[str, Mapping[str, object] | None], None], allow: bool
    ) -> Work:
        """A fresh set that shares its Condition."""
        if not isinstance(threads, int):
            raise ConfigError(f"threads {threads!r}: use a whole number")
        changed = threading.Condition(threading.Lock())
        lanes, runs = Lanes(threads=threads, changed=changed), Runs(changed)
        drain, inventory = Drain(lanes, runs, changed), Inventory(lanes, runs)
        return cls(lanes, runs, Restarts(emit, allow), drain, inventory)

    def live(self) -> tuple[str, ...]:
        """The names of what is not done, for the log."""
        return (*self.lanes.live(), *self.runs.live())

    def end(self) -> None:
        """The end of the gateway: what is not done fails, nothing more begins."""
        for step in (self.restarts.close, self.lanes.close, self.lanes.abandon, self.lanes.shutdown):
            tried(step)


@dataclass(frozen=True)
class Surroundings:
    """The process, and how it was started."""

    host: Host = field(default_factory=Host)
    line: CommandLine = field(default_factory=CommandLine.here)
    #: from the image or the process before this one
    inherited: Handoff | None = None
    #: listening sockets that others opened for us
    sockets: tuple[Passed, ...] = ()
    #: where systemd is told how we are; empty where it is not
    manager: str = ""

    @classmethod
    def here(cls, name: str, host: Host) -> Surroundings:
        """Ours, for the gateway *name*.  What was meant for this process alone is out of its environment then."""
        orphans: dict[str, int] = {}
        inherited, pid = Handoff.take(name, host.pid(), orphans), host.pid()
        line = CommandLine.here()  # an exec, which keeps the pid, has it all again
        return cls(host, line, inherited, _sockets(orphans, pid), _manager(pid))


def _sockets(orphans: Mapping[str, int], pid: int) -> tuple[Passed, ...]:
    if not orphans and "LISTEN_FDS" not in os.environ:
        return ()
    from ..system import passed

    return (*passed.take(os.environ, pid), *passed.orphans(orphans.items()))


def _manager(pid: int) -> str:
    if "NOTIFY_SOCKET" not in os.environ:
        return ""
    from ..system import notify

    return notify.take(os.environ, pid)


def checked_probation(seconds: float) -> float:
    """*seconds* itself.  ConfigError where it cannot be a probation."""
    if not (isinstance(seconds, (int, float)) and 0 <= seconds <= 3600):
        raise ConfigError(f"probation {seconds!r}: use 0 to 3600 seconds")
    return seconds


def mode_of(wanted: str, environ: Mapping[str, str]) -> tuple[Mode, str]:
    """(mode, why it is that one).  ConfigError for an unknown one."""
    if environ.get("GATEWAY_NO_RESPAWN") == "1":
        return Mode.IN_PROCESS, "GATEWAY_NO_RESPAWN"
    if wanted == "auto":
        return Mode.EXEC, "auto"
    try:
        return Mode(wanted), f"--restart-mode {wanted}"
    except ValueError:
        known = ", ".join(["auto", *(mode.value for mode in Mode)])
        raise ConfigError(f"restart mode {wanted!r}: choose one of {known}") from None
