"""What other threads leave in the inbox.  Signals are there as plain numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.deadline import Deadline
from ..core.plan import DrainReport, Request, Verdict
from ..system.successor import Word

if TYPE_CHECKING:
    from .handing import Handing


@dataclass(frozen=True)
class Ask:
    """Somebody asks for something; ``answer`` is called at once with what comes of it."""

    request: Request
    answer: Callable[[Verdict], object]


@dataclass(frozen=True)
class Cancelled:
    """What came of a cancel, which foreign code had a part in; ``answer`` is to be called with it."""

    request: Request
    verdict: Verdict
    answer: Callable[[Verdict], object]


@dataclass(frozen=True)
class Proved:
    """The next version was tried for ``request``; ``fault`` is empty when it loads."""

    request: Request
    fault: str


@dataclass(frozen=True)
class Heard:
    """A successor said something, or nothing any more."""

    handing: Handing
    word: Word


@dataclass(frozen=True)
class LameDuckOver:
    """New work has been taken for long enough after the stop."""


@dataclass(frozen=True)
class Told:
    """The process that we are to succeed said ``go``, or is gone."""

    word: Word


@dataclass(frozen=True)
class Drained:
    """No work is left, or its time is over."""

    report: DrainReport


@dataclass(frozen=True)
class Closed:
    """The server has ended; ``clean`` when it said so itself."""

    clean: bool


class Beat:
    """Somebody wants to know whether the loop still turns; ``seen`` is called when it comes by.

    This and the next are no dataclasses: making one costs every start 0.3 ms, and these are rare.
    """

    __match_args__ = ("seen",)

    def __init__(self, seen: Callable[[], object]) -> None:
        self.seen = seen


class Impatient:
    """Whoever asked for the stop under way waits no longer than until *deadline*."""

    __match_args__ = ("deadline",)

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
