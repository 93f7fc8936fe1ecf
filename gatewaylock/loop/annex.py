"""A door beside the control socket that outlives lives and images, such as an admin page.

The loop knows only this contract; what is behind the door is a floor above it.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..control.server import Desk
from ..core.deadline import Deadline
from ..core.plan import Phase
from .news import News
from .parts import Work

if TYPE_CHECKING:
    from ..system.image import Handoff
    from .vitals import Vitals

log = logging.getLogger("gatewaylock.gateway")

PATIENCE = 0.2  #: seconds before an exec for who has asked already to get the answer


@dataclass(frozen=True)
class Insight:
    """What an annex may look at, from any thread."""

    desk: Desk  #: status, and what can be asked for
    news: News  #: what happens; listeners MUST NOT block
    work: Work
    phase: Callable[[], Phase]  #: takes no lock
    server: Callable[[], object]  #: of the life that serves; None while there is none
    history: Callable[[], list[dict[str, Any]]]  #: reads a file
    lock_wait: float  #: seconds that the name was waited for
    kept: Mapping[str, Any]  #: what the annex of the last image left to this one
    succeeds: str  #: the restart mode when another process has handed over to us, else empty


class Annex(Protocol):
    """A door of its own.

    No method MAY raise but open().  shut(), kept() and leaving an answer half made MUST return at once:
    the loop calls them; quiet() and close() may take the time that they are given, or half a second.
    """

    @property
    def address(self) -> tuple[str, int]:
        """Where it wants to listen: host and port."""
        ...

    def open(self, listener: socket.socket, insight: Insight) -> None:
        """Answer on a copy of *listener* from now on, in whatever phase; called once."""
        ...

    def shut(self, shut: bool) -> None:
        """Leave newcomers to another image or process, or (False) take them again."""
        ...

    def quiet(self, deadline: Deadline) -> None:
        """After ``shut(True)``: wait until who has asked has the answer."""
        ...

    def kept(self) -> dict[str, Any]:
        """What the annex of the next image is to know; ready for JSON, and small."""
        ...

    def close(self) -> None:
        """The end."""
        ...


class SafeAnnex:
    """The annex of a gateway, or none, as the house handles it: what it does wrong harms nobody."""

    def __init__(self, annex: Annex | None) -> None:
        self._annex, self._open = annex, False

    @property
    def wanted(self) -> tuple[str, int] | None:
        """Where it wants to listen, while it does not."""
        return self._annex.address if self._annex and not self._open else None

    def open(self, listener: socket.socket, insight: Insight) -> None:
        """Errors are those of the annex."""
        if self._annex:
            self._annex.open(listener, insight)
            self._open = True

    def shut(self, shut: bool) -> None:
        """Leave newcomers to another image or process, or (False) take them again."""
        self._try(lambda annex: annex.shut(shut))

    def hush(self) -> None:
        """The image is about to be replaced: newcomers wait for the next one, who has asked gets the answer."""
        self.shut(True)
        self._try(lambda annex: annex.quiet(Deadline.after(PATIENCE)))

    def kept(self) -> dict[str, Any]:
        """For the next image; nothing where that fails."""
        found: list[dict[str, Any]] = [{}]
        self._try(lambda annex: found.append(annex.kept()))
        return found[-1]

    def close(self) -> None:
        """The end."""
        self._try(lambda annex: annex.close())
        self._open = False

    def _try(self, call: Callable[[Annex], object]) -> None:
        if self._annex and self._open:
            try:
                call(self._annex)
            except Exception:
                log.exception("the annex failed; the gateway goes on")


def insight_into(
    desk: Desk,
    vitals: Vitals,
    work: Work,
    *,
    history: Callable[[], list[dict[str, Any]]],
    lock_wait: float,
    left: Handoff | None,
) -> Insight:
    """For the annex of this image; *left* is what the last one left."""
    fresh = left is not None and left.channel >= 0
    account = (left.account if left else None) or {}
    return Insight(
        desk=desk,
        news=vitals.news,
        work=work,
        phase=lambda: vitals.phase,
        server=lambda: vitals.server,
        history=history,
        lock_wait=lock_wait,
        kept=left.kept if left else {},
        succeeds=str(account.get("mode", "")) if fresh else "",
    )
