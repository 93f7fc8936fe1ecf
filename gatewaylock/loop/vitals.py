"""Where a gateway is in its life.  Written by the loop's thread alone, read by any."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.deadline import NEVER, Deadline
from ..core.events import Event
from ..core.plan import Action, Outcome, Phase, Request, step
from ..core.sentences import short
from ..server import Server
from ..system.image import Handoff
from ..system.successor import Channel
from .accounts import Accounts
from .admission import Admission
from .callbacks import Callbacks
from .news import News
from .proving import Proving
from .shutdown import Shutdown

if TYPE_CHECKING:
    from .handing import Handing


class Spell(NamedTuple):
    """A quiet one."""

    request: Request
    deadline: Deadline


class Vitals:
    """The mutable half of a gateway.  Instants are of ``time.monotonic()``, in seconds."""

    over = False  #: whether run() has returned, or raised

    def __init__(self, inherited: Handoff | None, pid: int) -> None:
        self.inherited, self._pid = inherited, pid
        self.news, self.callbacks = News(), Callbacks()
        self.phase = Phase.STARTING
        self.life = inherited.life if inherited else 0
        self.began = inherited.began if inherited else time.monotonic()
        #: when the restart under way was accepted
        self.accepted: float | None = inherited.accepted if inherited else None
        self.serving_since: float | None = None
        #: of the stop or restart under way
        self.deadline: Deadline = NEVER
        #: why it is leaving, or parked
        self.reason = inherited.cause if inherited else ""
        self.request: Request | None = None
        self.server: Server | None = None
        self.admission = Admission(None)
        self.shutdown: Shutdown | None = None
        self.proving: Proving | None = None
        #: a warm successor, and how far it has come
        self.handing: Handing | None = None
        #: a successor serves, with our lock and our listeners
        self.handed_over = False
        #: to the process that we are to succeed, until it is gone
        self.channel: Channel | None = None
        #: restarts asked for when the version under way had been loaded already
        self.again: list[Request] = []
        #: why the last restart with a fresh pid was taken back
        self.setback = ""
        #: while no new work is taken
        self.spell: Spell | None = None
        #: what is under way, and how the last restart went
        self.accounts = Accounts(inherited.account if inherited else None, self.accepted or 0.0)
        #: set as soon as a stop is known, also while ``start()`` runs
        self.stop_requested = threading.Event()
        self.stops = 0
        #: the work that the drain had to leave, by name
        self.left: tuple[str, ...] = ()
        #: whether the last close() ended without an error
        self.clean = True
        #: the first start raised: the caller hears it
        self.broken = False
        self.code = 0
        #: what those who wait hear when the gateway has ended
        self.farewell: tuple[str, Action | None] = ("the gateway has ended", None)

    def step(self, event: str) -> None:
        """Leave the phase by this edge of the table."""
        self.leave_phase(step(self.phase, event), event)

    def leave_phase(self, phase: Phase, edge: str) -> None:
        """Be in *phase*, and say so."""
        was, self.phase = self.phase, phase
        self.tell("phase", was=was.value, edge=edge)

    def about(self, event: str, request: Request | None = None) -> dict[str, Any]:
        """The ``extra`` of a line in the log that is about this gateway: fields for the JSON log."""
        facts = {"event": event, "phase": self.phase.value, "life": self.life}
        return {**facts, "requester": request.cause, "reason": request.reason} if request else facts

    def tell(self, kind: str, **facts: Any) -> None:
        """An event, to all who listen."""
        self.news.tell(Event(kind, self.phase.value, self.life, self._pid, facts))

    def alone(self) -> None:
        """The process that we were to succeed is gone."""
        if self.channel:
            self.channel.close()
            self.channel = None
            self.tell("alone")

    @property
    def leaving(self) -> bool:
        """Whether a stop or restart is under way (in STARTING only a stop is served)."""
        return not self.up and self.phase is not Phase.PARKED

    @property
    def up(self) -> bool:
        """Whether a life serves; new work may be refused for a while (quiet)."""
        return self.phase in (Phase.SERVING, Phase.QUIET)

    @property
    def wake(self) -> Deadline:
        """When the loop has something to do though nobody says anything: a trial is late, the quiet ends.

        Not the end of the quiet while a successor has our admission, or may have it any moment.
        """
        if self.handing:
            return self.handing.due if self.up else NEVER
        due = self.proving.due if self.proving else NEVER
        return min(due, self.spell.deadline) if self.spell else due

    @property
    def busy(self) -> bool:
        """Whether a stop or a restart is under way, or being prepared."""
        return self.leaving or self.proving is not None or self.handing is not None

    def serve(self, server: Server | None) -> None:
        """A life serves (or, without a server, is parked): nothing is under way any more."""
        self.server, self.clean = server, True
        self.admission = Admission(server)
        self.shutdown = self.request = self.handing = None
        self.deadline, self.stops, self.left, self.spell = NEVER, 0, (), None
        self.serving_since = time.monotonic() if server else None

    def begin(self, request: Request, mode: str = "") -> None:
        """*request* is under way from now on; a restart that it overtakes is over."""
        if self.accounts.open:
            self.outcome(f"overtaken by {request.cause}", self._pid)
        self.accounts.begin(request, mode)

    def outcome(self, text: str, pid: int, done: Action | None = None) -> Outcome:
        """How what was asked for has ended: for whoever asked, and for all who listen."""
        text = short(text)
        account = self.accounts.end(text, done)
        self.tell("outcome", text=text, done=done and done.value, account=account)
        return Outcome(text, done, self.phase, self.life, pid)

    def took(self) -> str:
        """How long the restart took, for people."""
        return "" if self.accepted is None else f" after {time.monotonic() - self.accepted:.2f} s"
