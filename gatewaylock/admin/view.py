"""What the page shows, as values: the state now, the work by lane, the lives and what happened to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..core.plan import Status

LANES = 24  #: lanes shown, at most


@dataclass(frozen=True)
class Lane:
    """One lane; ``oldest`` is the age of its oldest item in seconds, None where that is not among the oldest."""

    name: str
    running: int
    queued: int
    oldest: float | None = None

    @property
    def size(self) -> int:
        """Tasks in it."""
        return self.running + self.queued


@dataclass(frozen=True)
class Life:
    """One life, in seconds since 1970: it served from ``began`` to ``left`` and was gone at ``ended``."""

    number: int
    pid: int
    began: float
    left: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class Entry:
    """One line of the history."""

    at: float
    what: str
    mood: str
    who: str = ""
    reason: str = ""
    text: str = ""
    took: float | None = None


@dataclass(frozen=True)
class View:
    """Everything on the page.  ``total`` is how much a drain began with; ``now`` is in seconds since 1970."""

    status: Status
    now: float
    lanes: tuple[Lane, ...] = ()
    more_lanes: int = 0
    total: int | None = None
    lives: tuple[Life, ...] = ()
    entries: tuple[Entry, ...] = ()
    steers: bool = False


def lanes_of(status: Status, census: Iterable[tuple[str, int, int]]) -> list[Lane]:
    """Every lane with work, the one with the oldest item first; *census* is (name, running, queued)."""
    oldest: dict[str, float] = {}
    for item in status.items:
        if item.kind == "task":
            oldest[item.lane] = max(item.age, oldest.get(item.lane, 0.0))
    lanes = [Lane(name, running, queued, oldest.get(name)) for name, running, queued in census]
    return sorted(lanes, key=lambda lane: (-(lane.oldest or -1.0), -lane.size, lane.name))
