"""What one stage hands to the next, and the life of a gateway as a table.

STARTING    --ready-->    SERVING
STARTING    --broken-->   EXITED
STARTING    --failed-->   PARKED
STARTING    --stop-->     DRAINING
SERVING     --stop-->     DRAINING
SERVING     --restart-->  DRAINING
SERVING     --farewell--> LAME_DUCK
LAME_DUCK   --stop-->     DRAINING
SERVING     --quiet-->    QUIET
QUIET       --resume-->   SERVING
QUIET       --stop-->     DRAINING
QUIET       --restart-->  DRAINING
DRAINING    --drained-->  CLOSING
DRAINING    --overdue-->  EXITED
CLOSING     --stopped-->  EXITED
CLOSING     --closed-->   RESPAWNING
CLOSING     --overdue-->  EXITED
RESPAWNING  --leave-->    EXITED
RESPAWNING  --again-->    STARTING
RESPAWNING  --stop-->     EXITED
PARKED      --stop-->     EXITED
PARKED      --restart-->  RESPAWNING
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from .facts import Account, DrainProgress, Item, Peer, Quiet

QUIET_LIMIT = 600.0  # seconds of quiet where nobody says how long
#: characters of a name that an application chose, where it goes to a client: 100 of them fit into one line
LONGEST = 80


class Phase(Enum):
    """Where a gateway is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    LAME_DUCK = "lame duck"  # a stop is known and readiness fails, but new work is still taken
    QUIET = "quiet"  # serves what it has, takes nothing new, for a limited time
    DRAINING = "draining"
    CLOSING = "closing"
    RESPAWNING = "respawning"
    PARKED = "parked"  # a later start failed: alive, not serving, lock free, waiting to be told
    EXITED = "exited"


P = Phase
TABLE: dict[tuple[Phase, str], Phase] = {
    (P.STARTING, "ready"): P.SERVING,
    (P.STARTING, "broken"): P.EXITED,  # the first start of all: let it crash
    (P.STARTING, "failed"): P.PARKED,  # a later one: stay, so that it can be fixed
    (P.STARTING, "stop"): P.DRAINING,  # start() may have submitted work
    (P.SERVING, "stop"): P.DRAINING,
    (P.SERVING, "restart"): P.DRAINING,
    (P.SERVING, "farewell"): P.LAME_DUCK,
    (P.LAME_DUCK, "stop"): P.DRAINING,
    (P.SERVING, "quiet"): P.QUIET,
    (P.QUIET, "resume"): P.SERVING,
    (P.QUIET, "stop"): P.DRAINING,
    (P.QUIET, "restart"): P.DRAINING,  # the life after it serves: quiet is of one life
    (P.DRAINING, "drained"): P.CLOSING,
    (P.DRAINING, "overdue"): P.EXITED,
    (P.CLOSING, "stopped"): P.EXITED,
    (P.CLOSING, "closed"): P.RESPAWNING,
    (P.CLOSING, "overdue"): P.EXITED,
    (P.RESPAWNING, "leave"): P.EXITED,
    (P.RESPAWNING, "again"): P.STARTING,
    (P.RESPAWNING, "stop"): P.EXITED,
    (P.PARKED, "stop"): P.EXITED,
    (P.PARKED, "restart"): P.RESPAWNING,
}


def step(phase: Phase, event: str) -> Phase:
    """The phase after *event*.  LookupError where the table has no such edge: a bug of ours."""
    return TABLE[phase, event]


class Action(Enum):
    """What is asked of a gateway."""

    STOP = "stop"
    RESTART = "restart"
    QUIET = "quiet"  # take no new work for a while
    RESUME = "resume"
    CANCEL = "cancel"  # one task or run


class Mode(Enum):
    """How the next life begins."""

    EXEC = "exec"  # same pid, fresh image
    SPAWN = "spawn"  # fresh pid, warm before we drain, starts when we have closed
    OVERLAP = "overlap"  # fresh pid, starts before we drain
    SUPERVISOR = "supervisor"  # exit, whoever watches us starts us again
    IN_PROCESS = "in-process"  # same image


#: the same for people: the reference prints it
MODES = {
    Mode.EXEC: "the default: a fresh image in the same process; lock and sockets stay open; same pid",
    Mode.SPAWN: "the next process is loaded before we drain, and starts when we have closed; fresh pid",
    Mode.OVERLAP: "the next process starts before we drain, and has to live for a while before we leave; fresh pid",
    Mode.SUPERVISOR: "exit; whoever supervises us starts us again",
    Mode.IN_PROCESS: "the next life in the same image; what is queued is kept; same pid",
}


#: characters of a reason: it goes to the next image, and to everybody who asks
LONGEST_REASON = 200


@dataclass(frozen=True)
class Request:
    """What is asked for, and why; made once, where it was asked.

    ``cause`` is who asked ("SIGTERM", "gateway stop", ...), ``peer`` the process where it was one, ``reason``
    what they said.  ``mode`` overrides the gateway's own restart mode.  ``force`` skips what takes time: of a
    restart the proof of the new version, of a stop the drain.  ``limit`` is how long to be quiet, in seconds;
    ``item`` the id of what to cancel.
    """

    action: Action
    cause: str
    reason: str = ""
    mode: Mode | None = None
    force: bool = False
    peer: Peer | None = None
    limit: float = QUIET_LIMIT
    item: str = ""

    def why(self) -> str:
        """Cause and reason, for people."""
        return f"{self.cause}: {self.reason}" if self.reason else self.cause


@dataclass(frozen=True)
class DrainReport:
    """What the drain saw.  ``left`` names the work that outlived it."""

    tasks: int
    runs: int
    left: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Nothing was left."""
        return not self.left


@dataclass(frozen=True)
class Verdict:
    """What the loop says to a request at once: taken or not, and why.

    ``error`` says to programs why not, by a word of control/protocol.py's ERRORS; empty where it was taken.
    """

    ok: bool
    text: str
    error: str = ""

    @classmethod
    def no(cls, text: str, error: str = "phase") -> Verdict:
        """Not taken."""
        return cls(False, text, error)


@dataclass(frozen=True)
class Outcome:
    """How a request ended, for whoever asked: what was done at last, and ``text`` for people.

    ``done`` is None when nothing was: a restart refused, a start that failed.
    """

    text: str
    done: Action | None
    phase: Phase
    life: int
    pid: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {**asdict(self), "phase": self.phase.value, "done": self.done and self.done.value}


@dataclass(frozen=True)
class Status:
    """What a gateway is doing at one moment.  Ages and times left are in seconds."""

    name: str
    pid: int
    phase: Phase
    life: int
    uptime: float  #: since the first life began, across every restart
    life_uptime: float | None  #: since this life began to serve; None while it does not
    addresses: tuple[str, ...]
    tasks_active: int
    tasks_queued: int
    lanes: dict[str, int]  #: lane -> tasks in it, for lanes with any (the busiest 100)
    runs: tuple[str, ...]
    restart_mode: str
    reason: str  #: why it is leaving, or why it is parked; empty while it serves
    time_left: float | None  #: to the deadline of the stop or restart under way
    proving: bool  #: the next version is being checked
    items: tuple[
        Item, ...
    ] = ()  #: what is not done: running for longest first, then next in turn; 20 at most
    drain: DrainProgress | None = None  #: the drain under way
    quiet: Quiet | None = None  #: while no new work is taken
    under_way: Account | None = None  #: the stop or restart that was accepted and has not ended
    last_restart: Account | None = None  #: how the last one went, refused and failed ones too
    admits: bool = True  #: new tasks are accepted; in an ``overlap`` the successor does so already

    @property
    def ready(self) -> bool:
        """Whether new work is to be sent here, and is accepted."""
        return self.phase is Phase.SERVING and self.admits

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: what ``gateway status --json`` prints.  Lanes are cut at 80 characters of their name."""
        lanes: Counter[str] = Counter()
        for name, size in self.lanes.items():
            lanes[name[:LONGEST]] += size
        return {**asdict(self), "phase": self.phase.value, "ready": self.ready, "lanes": dict(lanes)}
