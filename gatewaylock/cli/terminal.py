"""What is drawn again and again: on a terminal in its place, elsewhere one line for each change."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from .output import encodable
from .words import columns, cut

EVERY = 3.0  # seconds between two lines in a pipe or a file
FALLBACK = (80, 24)
COLOURS = {"good": "32", "wait": "33", "bad": "31", "strong": "1", "dim": "2"}


def is_terminal(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether lines can be drawn over there."""
    try:
        return stream is not None and stream.isatty() and environ.get("TERM", "") not in ("", "dumb")
    except ValueError:
        return False  # closed


class Paint:
    """Colours where they are wanted: on a terminal, unless NO_COLOR says otherwise."""

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str]) -> None:
        self._on = is_terminal(stream, environ) and not environ.get("NO_COLOR")

    def __call__(self, text: str, colour: str) -> str:
        """*text* in *colour*, one of COLOURS."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self._on else text


class Block:
    """A few lines at the bottom of *stream* that are drawn over each other.

    On a terminal each line is cut to what fits beside the edge, so that none wraps as long as the width
    stays.  A terminal that became narrower since has wrapped what we drew: how far, its width tells.  Where it
    tells that late (tmux, while its window is dragged) rows may stay above; the block itself is always whole.

    Elsewhere the text for a pipe is written, when it has a new *key* and EVERY seconds have passed.
    """

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str], every: float = EVERY) -> None:
        self._stream, self._every = stream, every
        self.redraws = is_terminal(stream, environ)
        #: why nothing can be written there any more
        self.fault: OSError | ValueError | None = None
        self._drawn: list[int] = []  # the columns of each line that is there
        self._there = (0, "")
        self._said: object = None
        self._next = 0.0

    def show(self, lines: Sequence[str], key: object, piped: str) -> None:
        """Draw *lines* (without colours: they are cut), or say *piped* where *key* is a new one."""
        if self.redraws:
            self._draw(lines)
        elif key != self._said and time.monotonic() >= self._next:
            self._said, self._next = key, time.monotonic() + self._every
            self._write(piped + "\n")

    def clear(self) -> None:
        """Leave nothing of it: other lines follow."""
        if self._drawn:
            self._write(self._home(self._size()[0]))
            self._there, self._drawn = (0, ""), []

    def leave(self) -> None:
        """Leave it there: other lines follow below."""
        if self._drawn:
            self._write("\n")
            self._there, self._drawn = (0, ""), []

    def _draw(self, lines: Sequence[str]) -> None:
        width, height = self._size()
        text = "\n".join(cut(line, width - 1) for line in lines[: height - 1])
        if (width, text) != self._there:
            self._write(self._home(width) + text)
            self._there, self._drawn = (width, text), [columns(line) for line in text.split("\n")]

    def _home(self, width: int) -> str:
        """To the beginning of what is drawn, and nothing of it there.

        Row by row: tmux keeps in its scrollback what a "clear to the end" takes away from the top row on.
        """
        if not self._drawn:
            return ""
        rows = sum(max(1, -(-each // width)) for each in self._drawn)
        return "\r\x1b[K" + "\x1b[A\x1b[K" * (rows - 1)

    def _size(self) -> tuple[int, int]:
        if self._stream is None:
            return FALLBACK
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            return FALLBACK
        return (size.columns or FALLBACK[0]), (size.lines or FALLBACK[1])

    def _write(self, text: str) -> None:
        try:
            if self._stream is not None:
                self._stream.write(encodable(text, self._stream))
                self._stream.flush()
        except (OSError, ValueError) as error:
            self._stream, self.fault = None, error  # what we wait for goes on without
