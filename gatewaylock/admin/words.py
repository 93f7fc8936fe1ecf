"""What the page says: foreign text made harmless, seconds for people, one sentence for each phase."""

from __future__ import annotations

import time
from html import escape

from ..core.plan import Phase, Status

LONGEST = 160  #: characters of a foreign text on the page, at most
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
ACTIONS = {"stop": "the stop", "restart": "a restart"}
SENTENCES = {
    Phase.STARTING: ("wait", "Starting"),
    Phase.SERVING: ("good", "Serving"),
    Phase.LAME_DUCK: ("wait", "Leaving soon, still taking work"),
    Phase.QUIET: ("wait", "Quiet: no new work is taken"),
    Phase.DRAINING: ("wait", "Draining before {what}"),
    Phase.CLOSING: ("wait", "Closing the server for {what}"),
    Phase.RESPAWNING: ("wait", "On its way to the next life"),
    Phase.PARKED: ("bad", "Parked: the last start failed"),
    Phase.EXITED: ("bad", "Ended"),
}


def safe(text: object, longest: int = LONGEST) -> str:
    """*text* for HTML: cut, on one line, nothing in it that turns the text around, starts a tag or ends one."""
    said = str(text)
    said = said if len(said) <= longest else said[: longest - 1] + "…"
    if not said.isprintable():
        said = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in said)
    return escape(said)


def hard(text: str) -> str:
    """*text* of ours for HTML, never broken into two lines."""
    return safe(text).replace(" ", "&nbsp;")


def span(seconds: float | None) -> str:
    """*seconds* for people: the two largest units, such as ``3 d 4 h``."""
    if seconds is None:
        return "not serving"
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in UNITS:
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def took(seconds: float) -> str:
    """How long something took: ``0.31 s``, ``12.4 s``, ``3 min 2 s``."""
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s" if seconds < 60 else span(seconds)


def count(number: int, what: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def clock(at: float, form: str = "%Y-%m-%d %H:%M:%S UTC") -> str:
    """An instant since 1970, for people."""
    try:
        return time.strftime(form, time.gmtime(at))
    except (ValueError, OverflowError, OSError):
        return "unknown"


def mood(status: Status) -> str:
    """``good``, ``wait`` or ``bad``."""
    return SENTENCES[status.phase][0]


def sentence(status: Status) -> str:
    """What it is doing."""
    action = status.under_way.action if status.under_way else ""
    return SENTENCES[status.phase][1].format(what=ACTIONS.get(action, "its end"))
