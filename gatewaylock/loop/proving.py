"""The next version is tried in a child, before anything is closed for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..core.deadline import Deadline
from ..core.plan import Request
from ..system.image import Proof
from .messages import Proved
from .parts import Surroundings


class Proving:
    """One trial, on a thread, so that the loop hears a stop meanwhile.  Posts Proved."""

    def __init__(
        self, around: Surroundings, request: Request, limit: float, post: Callable[[object], None]
    ) -> None:
        self.request = request
        self._proof = Proof(around.host, around.line)
        self._limit = limit
        self._post = post

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="gatewaylock-proof", daemon=True).start()

    def cancel(self) -> None:
        """End the child; what it proves no longer matters."""
        self._proof.cancel()

    def _run(self) -> None:
        try:
            fault = self._proof.run(Deadline.after(self._limit))
        except Exception as error:  # out of descriptors, out of memory: not proved
            fault = f"could not be tried: {error}"
        self._post(Proved(self.request, fault))
