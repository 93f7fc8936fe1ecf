"""How things are said to people: spans, counts, and nothing that a terminal obeys."""

from __future__ import annotations

import unicodedata
from typing import Any

UNITS = ((86400, "d"), (3600, "h"), (60, "min"))

Facts = dict[str, Any]


def span(seconds: float) -> str:
    """``3 d``, ``2 h``, ``5 min``, ``4.2 s``."""
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def clock(seconds: float) -> str:
    """A time that is counted down or up before somebody's eyes: ``4.2 s``, ``78 s``, ``12:04 min``."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = int(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60}:{whole % 60:02d} min"


def count(number: int, what: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def printable(text: object) -> str:
    """Nothing in a reason or a lane's name may steer the terminal; lines stay lines."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in str(text)
    )


def columns(text: str) -> int:
    """How many columns of a terminal *text* takes."""
    return sum(_width(character) for character in text)


def cut(text: str, width: int) -> str:
    """*text* in at most *width* columns; what is missing at its end is shown by three dots."""
    if columns(text) <= width:
        return text
    kept, room = "", width - 3
    for character in text:
        room -= _width(character)
        if room < 0:
            break
        kept += character
    return (kept + "...")[: max(0, width)]


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
