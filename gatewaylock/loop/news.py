"""Who wants to know what happens: told in order, on the loop's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..core.events import Event

log = logging.getLogger("gatewaylock.gateway")

Listener = Callable[[Event], object]


class News:
    """Listeners of ours, which MUST NOT block: a stop waits behind them.

    One that raises is logged and harms nothing.  Foreign ones belong behind a queue and a thread.
    """

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have *listener* called with every Event from now on; calling what comes back ends it."""
        self._listeners = (*self._listeners, listener)
        return lambda: self._drop(listener)

    def tell(self, event: Event) -> None:
        """To all, in the order in which they came."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed with %s", event)

    def _drop(self, listener: Listener) -> None:
        self._listeners = tuple(one for one in self._listeners if one is not listener)
