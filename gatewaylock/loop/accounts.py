"""The stop or restart under way, and the last restart: who, why, what it waited for, how it ended."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ..core.facts import Account
from ..core.plan import Action, DrainReport, Request

LONGEST = 1000  # characters of an outcome: it may hold a traceback


class Accounts:
    """Written by the loop's thread, read by any.  *inherited*: what the last image wrote of the restart to us.

    An account is opened when a request is accepted and closed by its outcome.
    """

    def __init__(self, inherited: object = None, began: float = 0.0) -> None:
        #: of what is under way
        self.open = Account.read(inherited)
        #: how the last restart went
        self.last_restart: Account | None = None
        self._began = began

    def begin(self, request: Request, mode: str = "") -> None:
        """*request* was accepted, and something begins with it.  What is open must have been ended."""
        self._began = time.monotonic()
        self.open = Account(
            action=request.action.value,
            cause=request.cause,
            reason=request.reason,
            at=time.time(),
            peer=request.peer,
            mode=mode,
        )

    def waited(self, report: DrainReport) -> None:
        """What it waited for."""
        if self.open:
            self.open = replace(self.open, tasks=report.tasks, runs=report.runs, left=report.left)

    def end(self, text: str, done: Action | None) -> dict[str, Any] | None:
        """It is over: its facts for the event, None where nothing was under way."""
        account, self.open = self.open, None
        if account is None:
            return None
        took = time.monotonic() - self._began
        ok = done is not None and done.value == account.action
        account = replace(account, text=text[:LONGEST], took=took, ok=ok)
        if account.action == Action.RESTART.value:
            self.last_restart = account
        return account.as_dict()

    def lasts(self) -> float | None:
        """Seconds since what is under way was accepted; None where nothing is."""
        return time.monotonic() - self._began if self.open else None

    def left_to_next(self) -> dict[str, Any] | None:
        """For the next image."""
        return self.open.as_dict() if self.open else None
