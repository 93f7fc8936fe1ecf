"""One task or run is cancelled.  Foreign code has a part in it, so it is done beside the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..core.plan import Request, Verdict
from .house import House
from .messages import Cancelled
from .vitals import Vitals

AT_ONCE = 8  # each may hang for two seconds in code that is not ours


class Cancelling:
    """On the loop's thread but for the work itself; posts Cancelled."""

    def __init__(self, house: House, vitals: Vitals) -> None:
        self._house, self._vitals = house, vitals
        self._room = threading.Semaphore(AT_ONCE)

    def begin(self, request: Request, answer: Callable[[Verdict], object]) -> None:
        """Have *request* done; *answer* is called with what comes of it."""
        if not self._room.acquire(blocking=False):
            self._said(request, Verdict.no("too many are being cancelled; try again", "busy"), answer)
            return
        args = (request, self._vitals.life, answer)
        try:
            threading.Thread(target=self._work, args=args, name="gatewaylock-cancelling", daemon=True).start()
        except RuntimeError as error:
            self._room.release()
            self._said(request, Verdict.no(f"no thread to do it: {error}", "busy"), answer)

    def _work(self, request: Request, life: int, answer: Callable[[Verdict], object]) -> None:
        try:
            verdict = self._house.work.inventory.cancel(request.item, life)
        except Exception as error:
            verdict = Verdict.no(f"it could not be cancelled: {error}", "failed")
        finally:
            self._room.release()
        self._said(request, verdict, answer)

    def _said(self, request: Request, verdict: Verdict, answer: Callable[[Verdict], object]) -> None:
        self._house.inbox.post(Cancelled(request, verdict, answer))
