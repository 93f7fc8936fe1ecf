"""Every budget in one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from .errors import ConfigError

WEEK = 7 * 86400.0
MAY_BE_0 = ("drain", "abort", "lame_duck", "first_start", "lock", "backoff")
#: what each is for, for ``--help`` and the README
BUDGETS = {
    "drain": "a restart waits this long for tasks and runs",
    "shutdown": "a restart may take this long beyond that to close and hand over",
    "stop": "a stop takes no longer than this, once the lame duck is over",
    "abort": "aborted runs get this much of it to end before the server is closed",
    "lame_duck": "on a stop, still take new work so long; readiness fails at once",
    "start": "a later life gets this long to start, the first one too where it is given",
    "preflight": "the next version gets this long to show that it loads",
    "lock": "wait this long for the lock of another gateway",
    "backoff": "after a failed start, the third that died young, wait up to so long before the next try",
}


@dataclass(frozen=True)
class Limits:
    """How long each thing may take, in seconds.  ConfigError for a value outside its range.

    A restart is over, one way or the other, ``drain + shutdown`` after it was accepted, and the
    next start gets ``start``.  A stop is over ``lame_duck + stop`` after it was accepted.
    """

    #: a restart waits this long for tasks and runs
    drain: float = 90.0
    #: a restart gets this long beyond ``drain`` to close the server and hand over
    shutdown: float = 5.0
    #: a stop takes no longer than this, once the lame duck is over
    stop: float = 5.0
    #: of shutdown, or of a stop before its reserve, aborted runs get this much to end before the server is closed
    abort: float = 1.0
    #: on a stop, new work is still taken for so long, while readiness fails already
    lame_duck: float = 0.0
    #: a later life gets this long to start
    start: float = 60.0
    #: the first life of all gets this long; 0: it may take for ever
    first_start: float = 0.0
    #: the next version gets this long to prove that it loads
    preflight: float = 60.0
    #: a start waits this long for the lock of another gateway
    lock: float = 5.0
    #: when starts have died young, the next try after a failed one waits for up to so long; 0: never
    backoff: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            seconds = getattr(self, field.name)
            least = 0.0 if field.name in MAY_BE_0 else 0.001
            if not (isinstance(seconds, (int, float)) and math.isfinite(seconds)):
                raise ConfigError(f"limit {field.name}: {seconds!r} is not a number of seconds")
            if not least <= seconds <= WEEK:
                raise ConfigError(
                    f"limit {field.name}: {seconds:g} s is outside {least:g} s .. {WEEK:.0f} s (a week)"
                )

    @property
    def stop_reserve(self) -> float:
        """What a stop keeps back from its work so that the server can still be closed."""
        return min(5.0, max(1.0, 0.2 * self.stop), self.stop / 2)

    @property
    def stop_grace(self) -> float:
        """How long before that its aborted runs are asked to give up, so that they have it all."""
        return min(self.abort, (self.stop - self.stop_reserve) / 2)

    @property
    def restart_grace(self) -> float:
        """What aborted runs get of ``shutdown``; the rest is for close."""
        return min(self.abort, self.shutdown / 2)

    def too_short(self) -> tuple[str, ...]:
        """Promises that these budgets have no room for, in numbers, for people."""
        graces = (
            ("stop", self.stop_grace, "stop", self.stop),
            ("restart", self.restart_grace, "shutdown", self.shutdown),
        )
        return tuple(
            f"aborted runs get {grace:g} s of their {self.abort:g} s in a {what}: there is no more in its"
            f" {seconds:g} s (--{option}-timeout)"
            for what, grace, option, seconds in graces
            if grace < self.abort
        )

    def capped(self, kill_timeout: float) -> Limits:
        """The same where a supervisor kills us *kill_timeout* seconds (``math.inf``: never) after asking.

        Only what runs from the supervisor's signal on is cut: the lame duck first, for what was accepted
        matters more than what could be, then the stop.  A restart's drain is nobody's business but ours
        until a stop comes, and then it gets what a stop gets; preflight, start and lock end for a stop as
        well.  Cut too, they would cost work that nobody waits for.
        """
        room = max(0.001, kill_timeout - min(5.0, kill_timeout / 4))
        stop = min(self.stop, room)
        return replace(self, stop=stop, lame_duck=min(self.lame_duck, room - stop))

    @property
    def whole_stop(self) -> float:
        """From the request to the end of the process."""
        return self.lame_duck + self.stop

    def whole_restart(self, probation: float = 0.0) -> float:
        """From the request to a next life that serves, at worst: tried, drained, closed, started late, proved."""
        tried = self.preflight + self.drain + self.shutdown
        return tried + self.backoff + self.start + probation

    @property
    def kill_timeout(self) -> float:
        """The least that a supervisor has to wait before it kills, so that ``capped`` cuts nothing."""
        return min(self.whole_stop + 5.0, self.whole_stop * 4 / 3)
