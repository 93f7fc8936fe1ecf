"""Something happened: what the record, the metrics, the watchers and the application get to know."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: kind -> the facts that an event of it carries, beside phase, life and pid
KINDS = {
    "phase": "was, edge: the phase before, and the edge of the table that led out of it",
    "asked": "action, cause, peer, reason, ok, text, error: a stop, restart, quiet, resume or cancel was accepted"
    " or refused, and what was said; error is a word of control/protocol.py, peer the process that asked or None",
    "failed": "text: start() raised",
    "outcome": "text, done, account: how what was asked for has ended; done is None where nothing was done;"
    " account is core/facts.py's Account of it, or None",
    "alone": "of a successor: the process before this one is gone, the gateway is this one's alone",
    "end": "code, text, left: the process ends; left names the work that was not done",
}


@dataclass(frozen=True)
class Event:
    """One thing that happened, once, in the order in which it happened.

    ``kind`` is one of KINDS; ``phase`` and ``life`` are those after it; ``at`` is in seconds since
    1970 and only for people: nothing is decided by it.
    """

    kind: str
    phase: str
    life: int
    pid: int
    facts: Mapping[str, Any]
    at: float = field(default_factory=lambda: time.time())

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        about = {"event": self.kind, "at": self.at, "phase": self.phase, "life": self.life, "pid": self.pid}
        return {**about, **self.facts}
