"""The next version is tried in another process, before anything is closed for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from ..core.deadline import Deadline
from ..core.plan import Request
from ..system import image, proof
from ..system.image import Handoff
from ..system.successor import Successor
from .messages import Proved
from .parts import Surroundings


class Proof(Protocol):
    """A trial of the next version."""

    def run(self, deadline: Deadline) -> str:
        """Empty when it loads, else why not."""
        ...

    def cancel(self) -> None:
        """End it now; from any thread."""
        ...


class Warming:
    """The trial of a successor: it loads, says so, and stays to take over.

    What it says goes where our log goes.  Where it ends without a word to us, it is loaded once more
    by a child that is listened to: whoever has asked hears why.
    """

    def __init__(self, around: Surroundings, handoff: Callable[[int, tuple[int, ...]], Handoff]) -> None:
        self.successor = Successor(around.host, around.line)
        self._host, self._handoff = around.host, handoff
        self._listened_to = proof.Proof(around.host, around.line)

    def run(self, deadline: Deadline) -> str:
        """Empty when the successor is warm, else why it is not; it is ended then."""
        # This thread's mask is inherited: no signal finds the new image without its handlers.
        blocked = image.block_signals(self._host)
        try:
            self.successor.start(lambda channel: self._handoff(channel, blocked), deadline)
        except Exception as error:
            self.successor.end()
            return f"cannot be started: {error}"
        finally:
            image.unblock_signals(self._host, blocked)
        word = self.successor.hear(deadline)
        if word.say == "warm":
            return ""
        self.successor.end()
        if word.say == "gone":
            why = self._listened_to.run(deadline)
            ended = "ended before it was loaded"
            return f"{ended}; tried once more it {why}" if why else f"{ended}: the log says why"
        return "not loaded in time" if word.say == "late" else word.error or word.say

    def cancel(self) -> None:
        """End the successor."""
        self._listened_to.cancel()
        self.successor.end()


class Proving:
    """One trial, on a thread, so that the loop hears a stop meanwhile.  Posts Proved.

    ``due``: the trial has said before what it found; else its thread hangs, and is not waited for.  It can:
    where a child is forked while ``popen`` makes its pipes, CPython waits for the end of that child.
    """

    def __init__(self, request: Request, proof: Proof, limit: float, post: Callable[[object], None]) -> None:
        self.request = request
        self.proof = proof
        self._limit = limit
        self.due = Deadline.after(limit + 1)
        self._post = post

    def start(self) -> None:
        """Begin."""
        try:
            threading.Thread(target=self._run, name="gatewaylock-proof", daemon=True).start()
        except RuntimeError as error:
            self._post(Proved(self.request, f"could not be tried: {error}"))

    def cancel(self) -> None:
        """End the other process; what it proves no longer matters."""
        self.proof.cancel()

    def _run(self) -> None:
        try:
            fault = self.proof.run(Deadline.after(self._limit))
        except Exception as error:  # out of descriptors, out of memory: not proved
            fault = f"could not be tried: {error}"
        self._post(Proved(self.request, fault))
