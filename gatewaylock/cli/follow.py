"""Wait for the end of a stop or restart, and show meanwhile what it waits for."""

from __future__ import annotations

import os
import selectors
import sys

from ..control.client import Talk
from ..core.deadline import Deadline
from . import show
from .stream import Stream
from .terminal import Block
from .words import Facts

SOON = 0.3  # seconds that are waited without a word: most are over by then
TURN = 0.5  # seconds between two drawings: the clocks in it go on


class Follow:
    """The wait for the outcome on one connection, with another one that watches."""

    def __init__(self, talking: Talk, path: str, name: str) -> None:
        self._talking, self._stream = talking, Stream(path, name)
        self._block = Block(sys.stderr, os.environ)

    def outcome(self, deadline: Deadline) -> Facts:
        """The last line.  GoneError, TimeoutError.  What was drawn is gone then."""
        turn = min(deadline, Deadline.after(SOON))
        try:
            while True:
                ready = self._wait(turn)
                if self._talking in ready:
                    return self._talking.line()
                if self._stream in ready:
                    self._stream.read()
                elif deadline.passed():
                    raise TimeoutError
                self._draw()
                turn = min(deadline, Deadline.after(TURN))
        finally:
            self._block.clear()
            self._stream.close()

    def _wait(self, turn: Deadline) -> list[object]:
        """Which of the two has something to say; none when *turn* passes first."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._talking, selectors.EVENT_READ, self._talking)
            watching = self._stream.watching()
            if watching:
                selector.register(watching, selectors.EVENT_READ, self._stream)
            return [key.data for key, _ in selector.select(turn.timeout())]

    def _draw(self) -> None:
        self._stream.connect()
        facts = self._stream.facts()
        if facts:
            text = show.progress(facts)
            self._block.show([text], show.progress_key(facts), text)
