"""How a name that a client chose may appear in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

LONGEST = 80
MOST = 20
MAIN = "main"


def lane_name(lane: str) -> str:
    """Which lane is meant: blank is "main".  TypeError for what is no string."""
    try:
        return lane if lane.strip() else MAIN
    except AttributeError:
        raise TypeError(f"a lane is named by a string, not by {lane!r}") from None


def callable_or_raise(what: str, fn: object) -> None:
    """TypeError where *fn* cannot be called: now, and not weeks later when it is wanted."""
    if not callable(fn):
        raise TypeError(f"{what} has to be a function that can be called, not {fn!r}")


def quoted(name: str, longest: int = LONGEST) -> str:
    r"""*name* in double quotes, on one line and at most *longest* characters of it.

    Line breaks, escape sequences and everything else that does not print appear as ``\n``, ``\x1b``.
    """
    cut = name if len(name) <= longest else name[:longest] + "..."
    inner = repr('"' + cut)[2:-1]  # the leading quote makes repr use single ones: those are cut off
    return '"' + inner.replace('"', '\\"').replace("\\'", "'") + '"'


def plain(fn: Callable[..., Any]) -> str:
    """What to call *fn* in a log: its qualified name without the function it was made in."""
    name = getattr(fn, "__qualname__", type(fn).__qualname__)
    return quoted(str(name).rpartition("<locals>.")[2])[1:-1]


def some(names: Iterable[str], count: int) -> tuple[str, ...]:
    """The first 20 of *count* *names*, and how many more there are."""
    first = tuple(islice(names, MOST))
    return first if count <= len(first) else (*first, f"and {count - len(first)} more")
