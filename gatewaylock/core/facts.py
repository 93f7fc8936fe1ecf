"""What people are told about a gateway: who asked, what is under way, how the last restart went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Peer:
    """The process that asked.  ``command`` is on one line, escaped; empty where it could not be proved."""

    pid: int
    uid: int
    command: str = ""


@dataclass(frozen=True)
class Item:
    """One task or run that is not done.

    ``id`` is what ``gateway cancel`` takes; it is never given to another item.  ``kind`` is "task" or
    "run", ``state`` "running" or "queued"; ``age`` is in seconds since then.  ``name`` is on one line.
    """

    id: str
    kind: str
    name: str
    lane: str  #: as the application named it, cut at 80 characters; empty for a run
    state: str
    age: float


@dataclass(frozen=True)
class DrainProgress:
    """A drain under way: what is left of it, and for how long it goes on at most."""

    tasks: int
    runs: int
    oldest: Item | None
    time_left: (
        float | None
    )  #: seconds until what is left is given up; the rest of the deadline is for the close


@dataclass(frozen=True)
class Quiet:
    """No new work is taken, by whom and why; it ends by itself in ``time_left`` seconds."""

    cause: str
    reason: str
    time_left: float


@dataclass(frozen=True)
class Account:
    """A stop or restart from the request to its end; ``text`` and ``took`` (seconds) are None until then.

    ``at`` is when it was accepted, in seconds since 1970, for people.  ``tasks`` and ``runs`` are what it
    waited for, None where that is not known; ``left`` names what had not ended.  ``ok`` says whether what
    was asked for was done.
    """

    action: str
    cause: str
    reason: str
    at: float
    peer: Peer | None = None
    mode: str = ""
    tasks: int | None = None
    runs: int | None = None
    left: tuple[str, ...] = ()
    text: str | None = None
    took: float | None = None
    ok: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    @classmethod
    def read(cls, said: object) -> Account | None:
        """What ``as_dict`` gave, after a way through JSON; None for anything else."""
        if not isinstance(said, Mapping) or set(said) != {field.name for field in fields(cls)}:
            return None
        try:
            peer = Peer(**said["peer"]) if said["peer"] else None
            return cls(**{**said, "peer": peer, "left": tuple(said["left"])})
        except TypeError:
            return None
