"""Tells systemd how the gateway is, when it is told where (see ``system/notify.py``).

what happens                    what is said
a life serves, the first        FDSTORE=1 each listener, READY=1
a restart is accepted           RELOADING=1 MONOTONIC_USEC=, also while its version is only tried
an exec, a next life's start    WATCHDOG_USEC= and EXTEND_TIMEOUT_USEC= of the start's own deadline
a successor serves              MAINPID= WATCHDOG_USEC= and a barrier by the old process, READY=1 by the new one
a life serves, or is parked,    READY=1, with STATUS= what came of it
  or a restart is refused
a stop, an exit                 STOPPING=1, where no successor lives on
less work to wait for           EXTEND_TIMEOUT_USEC= (see ``patience.py``, ``clock.py``)
the loop and the workers move   WATCHDOG=1 (see ``pulse.py``)
the first start fails           ERRNO= EXIT_STATUS=
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

from ..core.deadline import Deadline
from ..core.events import Event
from ..core.plan import Phase
from ..system import notify
from ..system.listeners import Listeners
from ..system.notify import Manager
from .clock import Clock
from .house import House
from .pulse import Heartbeat, Pulse
from .stopping import Stopping
from .store import Store
from .tidings import Tidings
from .vitals import Vitals
from .watcher import Watcher

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("gatewaylock.gateway")

#: seconds for words that must be there before the process is another one, or none
FLUSH = 0.5


def _never_raising(method: Callable[P, T]) -> Callable[P, T]:
    """What goes wrong in it is no reason for the loop to fail."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            log.exception("systemd could not be told")
            return cast(T, f"systemd could not be told: {error}")

    return call


class Herald(Watcher):
    """A context manager around all lives of one image.

    A successor says nothing until it is alone, and the process before it nothing from the moment on in
    which it has introduced it: systemd listens to one of them.
    """

    def __init__(self, house: House, vitals: Vitals, stopping: Stopping, *, exits: bool) -> None:
        self._house, self._vitals, self._exits = house, vitals, exits
        self._manager = Manager(house.around.manager)
        self._within = notify.watchdog(house.around.line.environ, house.pid)
        self._heart = Heartbeat(self._within, house.inbox.post, self._crowds)
        self._pulse = Pulse(self._tick)
        self._tidings = Tidings(house, vitals)
        self._next_beat = Deadline.after(0)
        #: the last of READY, RELOADING and STOPPING that was said
        self._said = ""
        self._clock = Clock(house, vitals, stopping)
        self._introduced = False
        self._store = Store(house.listeners, self._manager, lambda: self._silent)

    def __enter__(self) -> Herald:
        self._house.watcher = self
        self._house.listeners.lost = self._store.lost
        self._unsubscribe = self._vitals.news.subscribe(self._hear)
        self._say_status()
        try:
            self._pulse.start()
        except RuntimeError as error:
            log.warning("systemd gets no signs of life: %s", error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After everything was given back."""
        self._unsubscribe()
        self._house.watcher = Watcher()
        self._house.listeners.lost = lambda key: None
        code = self._vitals.code if error is None else getattr(error, "exit_code", 1)
        number = _errno(error)
        words = [
            self._tidings.news(),
            f"ERRNO={number}" if number else "",
            f"EXIT_STATUS={code}" if code else "",
        ]
        if any(words):
            self._say(*filter(None, words))
        self._manager.flush(Deadline.after(FLUSH))
        self._clock.leave()
        self._pulse.close()
        self._manager.close()

    # -- what happens, on the loop's thread ---------------------------------------------------------

    def _hear(self, event: Event) -> None:
        match event.kind, event.facts.get("edge"):
            case "phase", "ready":
                self._ready()
            case "phase", "restart":
                self._reload()
            case "phase", "leave" if not self._vitals.handed_over:
                self._stop()
            case "phase", "again":
                self._stretch(Deadline.after(self._house.options.limits.start))
            case "asked", _ if self._vitals.accepted is not None:
                self._reload()
            case "outcome", _:
                self._tidings.hear(event)
                self._end_reload()
            case "alone", _:
                self._alone()
            case "end", _:
                self._store.forget_paths()
        if self._vitals.stops:  # it may have overtaken a restart, whose phases go on
            self._stop()
        self._say_status()
        self._pulse.wake()

    def _ready(self) -> None:
        self._said = "READY"
        self._clock.clear()
        self._say("READY=1", *self._watch_every(self._within), self._tidings.status())

    def _reload(self) -> None:
        if self._said == "READY" and self._vitals.stops == 0:
            self._said = "RELOADING"
            self._clock.restart()
            self._say(*notify.reloading(), self._tidings.status())

    def _end_reload(self) -> None:
        """Parked; or a restart that was refused or taken back, so that the life before it still serves."""
        refused = self._vitals.up and not self._vitals.busy
        over = self._vitals.phase is Phase.PARKED or (refused and self._vitals.accepted is None)
        if over and self._said != "READY":
            self._ready()

    def _stop(self) -> None:
        """No signs of life from now on: in a stop each one would start the clock anew for the next."""
        if self._said != "STOPPING":
            self._said = "STOPPING"
            self._clock.stop()
            stopping = ["STOPPING=1"] if self._exits else []  # else the program goes on without us
            self._say(*stopping, *self._watch_every(0.0), self._tidings.status())

    def _alone(self) -> None:
        """The process before us is gone: what we would have said meanwhile."""
        self._store.keep(self._house.listeners, ())
        if self._vitals.up:
            self._ready()
        elif self._said == "STOPPING":
            self._said = ""
            self._stop()

    def _stretch(self, deadline: Deadline) -> None:
        """A start has a deadline of ours, and nobody to give signs of life: systemd gets the same one."""
        lines = self._watch_every(max(self._within, deadline.left() + 1)) if self._within else []
        if self._said == "RELOADING":
            lines.append(f"EXTEND_TIMEOUT_USEC={_usec(deadline.left())}")
        if lines:
            self._say(*lines)

    # -- what is no event ---------------------------------------------------------------------------

    @_never_raising
    def stop_is_asked(self) -> None:
        """systemd's clock runs from now on, also where a ``start()`` holds up the loop."""
        self._clock.stop()
        self._pulse.wake()

    @_never_raising
    def reload_joins(self) -> None:
        """systemd takes a word for the answer to its own request only if it is younger."""
        if self._said == "RELOADING":
            self._say(*notify.reloading(), self._tidings.status())

    def over(self) -> Deadline:
        """When systemd waits no longer for a stop."""
        return self._clock.over()

    @_never_raising
    def keep(self, listeners: Listeners, unasked: Iterable[str]) -> None:
        """Into the store, so that not even a crash closes them; out of it, what nobody asks for."""
        self._store.keep(listeners, unasked)

    @_never_raising
    def before_exec(self, deadline: Deadline) -> None:
        """The next image cannot speak before it has been loaded."""
        self._say_status()
        self._stretch(deadline)
        self._store.prune()
        self._manager.flush(Deadline.after(FLUSH))

    @_never_raising
    def introduce(self, pid: int, deadline: Deadline, gone: Deadline) -> str:
        """systemd kills what is left when the main process ends: it has to know the new one before.

        Neither gives signs of life until we are gone: we may not any more, and the new one does not yet.
        """
        if self._silent:
            return ""
        quiet = (
            max(self._within, gone.left() + 1) if self._exits else 0.0
        )  # who does not exit may stay for ever
        self._say(f"MAINPID={pid}", *self._watch_every(quiet))
        if not self._manager.flush(deadline):
            self._manager.unsay()
            return "systemd cannot be told of the new main process: it reads no messages"
        self._introduced = True
        if not self._manager.barrier(deadline):
            log.warning("systemd has not said that it knows the new main process, pid %d", pid)
        return ""

    # -- the clock, on a thread of its own -----------------------------------------------------------

    def _tick(self) -> float:
        if self._silent:
            return math.inf
        late = not self._manager.flush(Deadline.after(FLUSH))
        return min(FLUSH if late else math.inf, self._beat(), self._look())

    def _beat(self) -> float:
        """No sign of life before the first READY nor in a start: systemd does not wait for one then."""
        if not self._within or self._said not in ("READY", "RELOADING"):
            return math.inf
        if self._next_beat.passed():
            self._next_beat = Deadline.after(self._heart.interval)
            if self._vitals.phase is not Phase.STARTING and self._heart.moved():
                self._manager.ping("WATCHDOG=1")
        return self._next_beat.left()

    def _look(self) -> float:
        """While something is waited for."""
        if not self._clock.runs:
            return math.inf
        more = self._clock.look(self._tidings.live())
        if more:
            self._say(f"EXTEND_TIMEOUT_USEC={_usec(more)}", self._tidings.status())
        else:
            self._say_status()
        return self._clock.tick()

    # -- words ---------------------------------------------------------------------------------------

    @property
    def _silent(self) -> bool:
        return self._introduced or self._vitals.channel is not None

    def _say(self, *lines: str, fds: Sequence[int] = ()) -> None:
        if not self._silent:
            self._manager.tell(*lines, fds=fds)

    def _say_status(self) -> None:
        line = self._tidings.news()
        if line:
            self._say(line)

    def _watch_every(self, seconds: float) -> list[str]:
        return [f"WATCHDOG_USEC={_usec(seconds)}"] if self._within else []

    def _crowds(self) -> tuple[Hashable, ...]:
        return self._house.work.lanes.crowd(), self._tidings.of_server("crowd")


def _usec(seconds: float) -> int:
    return round(seconds * 1e6)


def _errno(error: BaseException | None) -> int:
    """Of what *error* came from; 0 where that was nothing of the operating system's."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        error = error.__cause__ or error.__context__
    return 0
