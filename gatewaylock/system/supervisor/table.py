"""Every supervisor we know, one row each, in the order in which they are asked: the nearest one first.

What each restart mode does there:

    exec, in-process   right everywhere: the pid stays, with everybody who watches it
    spawn, overlap     become exec where ``stays`` says why a fresh pid would be wrong
    supervisor         leaves with an exit code that is among ``again``; becomes exec where nobody can start
                       us again, which only a terminal proves: one that is not known may be there
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ..host import Host
from . import proofs
from .asking import Patience, ask_s6, ask_systemd
from .evidence import Evidence


class Reason(NamedTuple):
    """Why a restart has to keep the pid; the README prints these."""

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


NOT_LINUX = Reason("not Linux", "there is no pidfd to hold it by")
CONTAINER = Reason("pid 1", "the container would end with it")
SYSTEMD = Reason("systemd", "systemd kills what is left when the main pid ends")
WATCHED = Reason("a supervisor", "it watches this pid and would start another")
TERMINAL = Reason("a terminal", "the shell would take its end for ours")
REASONS = (NOT_LINUX, CONTAINER, SYSTEMD, WATCHED, TERMINAL)


@dataclass(frozen=True)
class Supervisor:
    """One row."""

    #: what GATEWAY_SUPERVISOR takes
    name: str
    #: what proves that it is the one, for people; "" where it is not
    proof: Callable[[Evidence], str]
    #: seconds from a stop to a kill, unless somebody has set them
    kills_after: float
    #: what sets them
    setting: str
    #: why a fresh pid would be wrong there, by what is seen; None where it is right
    stays: Callable[[Evidence], Reason | None]
    #: the exit codes after which it starts us again
    again: str
    #: what is really set; OSError or ValueError where that cannot be known.  It may take a second.
    ask: Callable[[Evidence, Host], Patience] | None = None
    #: nobody starts us again, whatever we exit with
    deserted: bool = False

    @property
    def patience(self) -> Patience:
        """As it comes, when nothing was set."""
        return Patience(self.kills_after, f"{self.setting} of {self.name}, as it comes", assumed=True)


def _always(reason: Reason) -> Callable[[Evidence], Reason | None]:
    return lambda seen: reason


def _systemd(seen: Evidence) -> Reason | None:
    """A fresh pid is right where systemd can be told of it."""
    from ..notify import can_move_main_pid  # only under systemd

    return None if can_move_main_pid(seen.environ, seen.pid) else SYSTEMD


TABLE = (
    Supervisor(
        name="systemd",
        proof=proofs.by_systemd,
        kills_after=90.0,
        setting="TimeoutStopSec=",
        stays=_systemd,
        again="those of RestartForceExitStatus=; under Restart=on-failure all but 0",
        ask=ask_systemd,
    ),
    Supervisor(
        name="launchd",
        proof=proofs.by_launchd,
        kills_after=20.0,
        setting="ExitTimeOut",
        stays=_always(NOT_LINUX),
        again="all under KeepAlive; with SuccessfulExit false all but 0",
    ),
    Supervisor(
        name="supervisord",
        proof=proofs.child_of("supervisord"),
        kills_after=10.0,
        setting="stopwaitsecs",
        stays=_always(WATCHED),
        again="all but those of exitcodes (0)",
    ),
    Supervisor(
        name="circus",
        proof=proofs.child_of("circusd"),
        kills_after=30.0,
        setting="graceful_timeout",
        stays=_always(WATCHED),
        again="all",
    ),
    Supervisor(
        name="monit",
        proof=proofs.child_of("monit"),
        kills_after=math.inf,
        setting="",
        stays=_always(WATCHED),
        again="all",
    ),
    Supervisor(
        name="runit",
        proof=proofs.child_of("runsv"),
        kills_after=math.inf,
        setting="-w of sv force-stop",
        stays=_always(WATCHED),
        again="all",
    ),
    Supervisor(
        name="s6",
        proof=proofs.child_of("s6-supervise"),
        kills_after=math.inf,
        setting="timeout-kill",
        stays=_always(WATCHED),
        again="all, unless finish exits 125",
        ask=ask_s6,
    ),
    Supervisor(
        name="daemontools",
        proof=proofs.child_of("supervise"),
        kills_after=math.inf,
        setting="",
        stays=_always(WATCHED),
        again="all",
    ),
    Supervisor(
        name="kubernetes",
        proof=proofs.in_kubernetes,
        kills_after=30.0,
        setting="terminationGracePeriodSeconds",
        stays=_always(CONTAINER),
        again="all",
    ),
    Supervisor(
        name="container",
        proof=proofs.in_container,
        kills_after=10.0,
        setting="docker --stop-timeout",
        stays=_always(CONTAINER),
        again="by its restart policy: on-failure all but 0",
    ),
    Supervisor(
        name="script",
        proof=proofs.by_script,
        kills_after=math.inf,
        setting="",
        stays=_always(WATCHED),
        again="what the script makes of them",
    ),
    Supervisor(
        name="unseen",
        proof=proofs.by_unseen,
        kills_after=math.inf,
        setting="",
        stays=_always(WATCHED),
        again="not known",
    ),
    Supervisor(
        name="terminal",
        proof=proofs.in_terminal,
        kills_after=math.inf,
        setting="",
        stays=_always(TERMINAL),
        again="none",
        deserted=True,
    ),
    Supervisor(
        name="none",
        proof=proofs.by_nobody,
        kills_after=math.inf,
        setting="",
        stays=lambda seen: None,
        again="none that is known",
    ),
)
NAMES = tuple(row.name for row in TABLE)
