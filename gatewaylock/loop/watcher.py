"""Whoever has to be told, at a few moments that are no events, how a gateway is.  Here: nobody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..core.deadline import NEVER, Deadline

if TYPE_CHECKING:
    from ..system.listeners import Listeners


class Watcher:
    """What the loop tells in any case, on its own thread but for ``stop_is_asked`` and ``over``."""

    def stop_is_asked(self) -> None:
        """A stop is in the inbox.  On any thread: the loop's may be in ``start()``."""

    def reload_joins(self) -> None:
        """A reload was asked for while a restart is under way: the end of that one answers both."""

    def over(self) -> Deadline:
        """When the process has to be gone, or is killed.  On any thread."""
        return NEVER

    def keep(self, listeners: Listeners, unasked: Iterable[str]) -> None:
        """These are listened on from now on; those in the store called *unasked* are not."""

    def before_exec(self, deadline: Deadline) -> None:
        """The next image is about to begin, and serves by *deadline*; nobody speaks until it does."""

    def introduce(self, pid: int, deadline: Deadline, gone: Deadline) -> str:
        """Process *pid* is the gateway when we are gone, by *gone*; why that could not be told by *deadline*, or empty."""
        return ""
