"""How long a supervisor really waits after a stop before it kills, where it can be asked."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..host import Host
from . import unit
from .evidence import Evidence


class Patience(NamedTuple):
    """How long somebody waits after having asked for a stop."""

    #: math.inf: it never kills
    seconds: float
    #: what says so: what to change
    setting: str


def ask_systemd(seen: Evidence, host: Host) -> Patience:
    """The manager's word on our unit.  OSError, ValueError where there is none."""
    if not seen.unit:
        raise OSError(f"/proc/{seen.pid}/cgroup names no unit")
    facts = unit.show(seen.unit, of_user=seen.of_user, host=host)
    return Patience(unit.kills_after(facts), f"TimeoutStopSec= of {seen.unit}")


def ask_s6(seen: Evidence, host: Host) -> Patience:
    """``timeout-kill`` in the service directory, where s6-supervise lives; milliseconds."""
    path = f"/proc/{seen.parent}/cwd/timeout-kill"
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return Patience(int(file.read(32)) / 1000 or math.inf, "timeout-kill in the service directory")
    except FileNotFoundError:
        return Patience(math.inf, "timeout-kill in the service directory")
