"""What a running gateway holds of the operating system."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..control.server import ControlServer, Desk
from ..core.deadline import Deadline
from ..core.errors import AddressTakenError, GatewayError, GatewayLockError
from ..core.events import Event
from ..core.plan import Outcome, Verdict
from ..core.tried import tried
from ..system.history import History
from ..system.host import close_after_fork
from ..system.image import Handoff
from ..system.inbox import Inbox, Meaning, meaning_of, signal_numbers
from ..system.listeners import Listeners
from ..system.lock import GatewayLock
from ..system.process import known
from ..system.rundir import RunDir
from ..system.watchdog import Watchdog
from .annex import SafeAnnex, insight_into
from .diary import Diary
from .messages import Ask, Beat, Cancelled
from .parts import Options, Surroundings, Work
from .vitals import Vitals
from .watcher import Watcher

log = logging.getLogger("gatewaylock.gateway")

#: we hold the name, and yet somebody answers to it
NOT_HOLDING = (
    "it does not hold the name, so it is parked, or runs beside others: "
    "`gateway restart` has a parked one try again, `gateway stop` ends it"
)


class House:
    """Lock, doors, inbox and watchdog of one gateway; taken in order, given back in the other."""

    def __init__(
        self, options: Options, around: Surroundings, work: Work, desk: Desk, inherited: Handoff | None
    ) -> None:
        self.options, self.around, self.work = options, around, work
        self.pid = around.host.pid()
        wake = inherited.wake if inherited and inherited.wake[0] >= 0 else None
        self.inbox = Inbox(around.host, wake)
        self.diary: Diary | None = None
        self.watchdog = Watchdog(around.host, self._unfinished, self._last_words, lambda: self.watcher.over())
        self.listeners = Listeners(
            around.host,
            inherited.listeners if inherited else None,
            passed=around.sockets,
            foreign=inherited.foreign if inherited else (),
        )
        #: whoever wants to be told by us how we are
        self.watcher = Watcher()
        self._lock: GatewayLock | None = None
        self._desk = desk
        self._door = Listeners(around.host, inherited.door if inherited else None)
        self._control: ControlServer | None = None
        self._annex = SafeAnnex(options.annex)
        self._inherited = inherited
        self._lock_wait = 0.0

    def meaning(self, number: int) -> Meaning:
        """What a signal asks for."""
        return meaning_of(number, self.options.hangup)

    def stops(self) -> tuple[int, ...]:
        """The signals that ask for a stop."""
        return tuple(number for number in signal_numbers() if self.meaning(number) is Meaning.STOP)

    def take_lock(self, inherited: Handoff | None) -> None:
        """Hold the name, by what the last image left or anew.  GatewayLockError, ConfigError."""
        options = self.options
        RunDir.open(options.run_dir)
        if options.multi:
            log.warning("GATEWAY_ALLOW_MULTI is set: running without a lock")
            return
        self._lock = GatewayLock(options.name, run_dir=options.run_dir, port=options.port)
        if inherited and self._lock.adopt(*inherited.lock):
            return
        if inherited and inherited.channel >= 0:
            raise GatewayLockError(None, 0.0, "what was handed over is not the lock")
        since = time.monotonic()
        self._lock.acquire(options.limits.lock)
        self._lock_wait = time.monotonic() - since

    def open_diary(self, vitals: Vitals) -> None:
        """The name is ours: what happens from now on is written down."""
        history = History(RunDir.open(self.options.run_dir), self.options.name)
        self.diary = Diary(history, vitals, self.pid)

    def begins(self) -> None:
        """A life is about to start."""
        if self.diary:
            self.diary.begins()

    def history(self) -> list[dict[str, Any]]:
        """What has been written down, oldest first."""
        return self.diary.records() if self.diary else []

    def young_deaths(self) -> int:
        """Starts that died young in the last minutes."""
        return self.diary.young_deaths() if self.diary else 0

    def _unfinished(self) -> Sequence[str]:
        live = self.work.live()
        return self.diary.unfinished(live) if self.diary else live

    def _last_words(self, code: int, says: str, left: Sequence[str]) -> None:
        if self.diary:
            self.diary.forced(code, says, left)

    def ensure_lock(self) -> None:
        """Hold the name, still or again.

        One that we lost while parked is somebody's who serves: the wait is short, for no stop is heard in it.
        """
        if self._lock:
            self._lock.ensure(min(0.5, self.options.limits.lock))

    def release_lock(self) -> None:
        """Give the name up while parked, so that a fixed gateway can start beside us."""
        if self._lock:
            tried(self._lock.release)

    def open_doors(self, vitals: Vitals) -> None:
        """Before a life starts: the control socket and the annex answer, listeners may be asked for."""
        self.listeners.begin()
        if self._control is None:
            self._open_control()
        if wanted := self._annex.wanted:
            self._open_annex(*wanted, vitals)
        else:
            self._annex.shut(False)  # an exec that failed
        self._door.settle()

    def _open_control(self) -> None:
        path = RunDir.open(self.options.run_dir).socket_path(self.options.name)
        try:
            door = self._door.unix(path)
        except AddressTakenError as error:
            if not self.options.multi:
                raise AddressTakenError(error.address, NOT_HOLDING) from error
            log.warning("no control socket for this gateway: %s", error)
            return
        control = ControlServer(door, self._desk, known=known, come_by=self.come_by)
        control.adopt(self._inherited.waiting if self._inherited else ())
        try:
            control.start()
        except BaseException:
            control.close()
            raise
        self._control = control
        close_after_fork(control.forget)

    def _open_annex(self, host: str, port: int, vitals: Vitals) -> None:
        """A life that has others behind it does not fail for the lack of it."""
        insight = insight_into(
            self._desk,
            vitals,
            self.work,
            history=self.history,
            lock_wait=self._lock_wait,
            left=self._inherited,
        )
        try:
            self._annex.open(self._door.tcp(host, port), insight)
        except Exception as error:
            beside = self.options.multi and isinstance(error, AddressTakenError)
            if vitals.life == 1 and isinstance(error, GatewayError) and not beside:
                raise
            log.warning("no annex: %s", error)

    def tell(self, event: Event) -> None:
        """Those who watch hear of it."""
        if self._control:
            self._control.tell(event)

    def come_by(self, seen: Callable[[], object]) -> None:
        """Have the loop call *seen* when it next looks into its inbox."""
        self.inbox.post(Beat(seen))

    def announce(self, outcome: Outcome) -> None:
        """Tell all who wait how it ended."""
        if self._control:
            self._control.announce(outcome)

    def settle(self) -> None:
        """The life is about to serve: what it no longer listens on is closed."""
        self.watcher.keep(self.listeners, self.listeners.settle())

    def describe(self) -> None:
        """The lock file tells our pid from now on."""
        if self._lock:
            self._lock.describe()

    def shut_door(self) -> None:
        """Somebody else answers on the control socket now, and in the annex."""
        self._annex.shut(True)
        if self._control:
            self._control.shut(True)

    def hush(self) -> None:
        """Right before an exec, or our end: another image answers in the annex; who has asked here gets the answer."""
        self._annex.hush()

    def kept(self) -> str:
        """What our annex has counted until now: its successor was loaded before our last requests."""
        return json.dumps(self._annex.kept())

    def inherit(self, kept: str) -> None:
        """The same, of the process that we succeed; an older version says nothing of it."""
        with suppress(ValueError):
            found = json.loads(kept)
            if self._inherited and isinstance(found, dict):
                self._inherited = replace(self._inherited, kept=found)

    def reclaim(self) -> None:
        """We answer again, and the lock file says so."""
        self.describe()
        self._annex.shut(False)
        if self._control:
            self._control.shut(False)

    def handoff(
        self, vitals: Vitals, blocked: tuple[int, ...], deadline: Deadline, channel: int = -1
    ) -> Handoff:
        """Everything the next image needs; *deadline* is that of its start.

        With a *channel* it is another process: waiting clients and the wake-up pipe stay with us.
        """
        fresh = channel >= 0
        return Handoff(
            name=self.options.name,
            pid=self.pid,
            life=vitals.life,
            began=vitals.began,
            lock=self._lock.descriptors() if self._lock else (-1, -1),
            wake=(-1, -1) if fresh else self.inbox.descriptors(),
            listeners=self.listeners.descriptors(),
            door=self._door.descriptors(),
            waiting=tuple(self._control.held()) if self._control and not fresh else (),
            kept=self._annex.kept(),
            unblock=blocked,
            deadline=deadline.at,
            accepted=time.monotonic() if vitals.accepted is None else vitals.accepted,
            cause=vitals.reason,
            channel=channel,
            account=vitals.accounts.left_to_next(),
            terminal=self.options.hangup is Meaning.STOP and not fresh,
            foreign=self.listeners.foreign(),
        )

    def leave(self, outcome: Outcome, *, handed_over: bool = False) -> None:
        """Give everything back; the name last of all, and only then tell those who wait for the end.

        *handed_over*: a successor has copies of it all, and the paths are its own now.
        """
        for message in self.inbox.pending():
            if isinstance(message, Ask):
                tried(message.answer, Verdict.no("the gateway has ended"))
            elif isinstance(message, Cancelled):
                tried(message.answer, message.verdict)
        tried(self._annex.close)
        tried(self.listeners.close, unlink=not handed_over)
        tried(self._door.close, unlink=not handed_over)
        self.release_lock()
        if self._control:
            tried(self._control.announce, outcome)
            tried(self._control.close)
        tried(self.inbox.close)
