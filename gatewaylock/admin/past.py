"""What the history says, for the page: lives in time, and what happened in words.

A record may be of another version of us, or half of one: what cannot be read is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.ends import End, ends
from ..system.history import still_runs
from .view import Entry, Life

LIVES = 24  #: lives shown, at most
ENTRIES = 20  #: lines of history shown, at most
LEAVES = ("stop", "restart")

Record = Mapping[str, Any]


class Past:
    """The history, read again when something has happened, or after *fresh* seconds."""

    def __init__(self, read: Callable[[], list[dict[str, Any]]], fresh: float = 5.0) -> None:
        self._read, self._fresh = read, fresh
        self._records: list[dict[str, Any]] = []
        self._until = 0.0

    def stale(self) -> None:
        """Something has happened.  Takes no lock."""
        self._until = 0.0

    def records(self) -> list[dict[str, Any]]:
        """All of it, oldest first."""
        now = time.monotonic()
        if now >= self._until:
            self._until = now + self._fresh  # before it is read: what comes meanwhile is not missed
            self._records = self._read()
        return self._records

    def lives(self) -> tuple[Life, ...]:
        """The last LIVES, oldest first."""
        return lives_of(self.records())

    def entries(self) -> tuple[Entry, ...]:
        """The last ENTRIES, newest first."""
        return entries_of(self.records())

    def forced(self) -> int:
        """How many ends by the watchdog are in it."""
        return sum(record.get("event") == "forced" for record in self.records())


def lives_of(records: Sequence[Record]) -> tuple[Life, ...]:
    """The lives in *records*: each ends with the next start, or with its process."""
    lives: list[Life] = []
    for record in records:
        event, at = record.get("event"), float(record["at"])
        if event == "start":
            if lives and lives[-1].ended is None:
                lives[-1] = replace(lives[-1], ended=at)
            lives.append(Life(_number(record, "life"), _number(record, "pid"), at))
        elif lives:
            lives[-1] = _told(lives[-1], record, at)
    return tuple(lives[-LIVES:])


def _told(life: Life, record: Record, at: float) -> Life:
    event, mine = record.get("event"), _number(record, "pid") == life.pid
    if event == "asked" and record.get("ok") and record.get("action") in LEAVES:
        return replace(life, left=life.left or at)
    if event == "outcome" and not record.get("done") and life.ended is None:
        return replace(life, left=None)  # refused, or taken back: it serves on
    if event in ("end", "forced") and mine and life.ended is None:
        return replace(life, left=life.left or at, ended=at)
    return life


def entries_of(records: Sequence[Record]) -> tuple[Entry, ...]:
    """What happened, newest first: how requests ended, refusals, starts, and ends nobody had asked for."""
    found = [entry for record in records if (entry := _entry(record))]
    found += [_death(end) for end in ends(records, still_runs) if end.died]
    return tuple(sorted(found, key=lambda entry: -entry.at)[:ENTRIES])


def _entry(record: Record) -> Entry | None:
    event, at = record.get("event"), float(record["at"])
    account = record.get("account")
    if event == "outcome" and isinstance(account, Mapping):
        return _account(at, account)
    if event == "start" and record.get("life") == 1:
        return Entry(at, "Started", "good", text=f"pid {record.get('pid')}")
    if event == "asked" and not (record.get("ok") and record.get("action") in LEAVES):
        action, mood = _text(record, "action").capitalize(), "wait" if record.get("ok") else "bad"
        what = action if record.get("ok") else f"{action} refused"
        return Entry(at, what, mood, _text(record, "cause"), _text(record, "reason"), _text(record, "text"))
    return None


def _account(at: float, account: Record) -> Entry:
    what, left = (
        f"{_text(account, 'action')} {_text(account, 'mode')}".strip().capitalize(),
        account.get("left"),
    )
    lost = f"; not done: {', '.join(map(str, left))}" if isinstance(left, list) and left else ""
    took = account.get("took")
    mood = ("wait" if lost else "good") if account.get("ok") else "bad"
    return Entry(
        at,
        what if account.get("ok") else f"{what} failed",
        mood,
        _text(account, "cause"),
        _text(account, "reason"),
        f"{_text(account, 'text')}{lost}",
        float(took) if isinstance(took, (int, float)) else None,
    )


def _death(end: End) -> Entry:
    return Entry(end.at, "Ended unasked", "bad", text=end.text)


def _text(record: Record, name: str) -> str:
    found = record.get(name)
    return found if isinstance(found, str) else ""


def _number(record: Record, name: str) -> int:
    found = record.get(name)
    return found if isinstance(found, int) else 0
