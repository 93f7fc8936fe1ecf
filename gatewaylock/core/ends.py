"""What the history says: how the last gateway ended, and how many starts died young.  Values only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Record = Mapping[str, Any]

#: a start that died within so many seconds died young, and for so many seconds that is remembered
YOUNG, REMEMBERED = 60.0, 300.0
#: exit codes of a stop that somebody had asked for, also of one that had to be forced
ASKED = (0, 130, 143)


class End(NamedTuple):
    """How one process of a gateway ended: ``at`` in seconds since 1970, ``text`` for people."""

    at: float
    text: str
    died: bool = False  #: nobody had asked for it
    lived: float = 0.0  #: seconds since it had begun to serve last, at most; 0 where it never did


def ends(records: Sequence[Record], alive: Callable[[Record], bool], now: float = math.inf) -> list[End]:
    """Every end, oldest first.  *alive* says whether the process that wrote a record still is the same.

    A process that began and is gone without a word was killed.  Nobody knows when: that is told as the
    moment when it began, and it has lived at most until another one began (which had the lock) or until *now*.
    """
    begun: dict[object, Record] = {}
    until: dict[object, float] = {}
    found = []
    for record in records:
        kind, who = record.get("event"), _who(record)
        if kind == "begin":
            until.update({other: record["at"] for other in begun if other != who and other not in until})
        if kind in ("begin", "start"):
            begun[who] = record
        elif kind == "failed":
            begun.pop(who, None)
            found.append(End(record["at"], f"gateway startup failed: {record.get('text')}", True))
        elif kind in ("end", "forced"):
            found.append(_end(record, begun.pop(who, None)))
    found += [_killed(last, until.get(who, now)) for who, last in begun.items() if not alive(last)]
    return sorted(found)


def young_deaths(records: Sequence[Record], now: float, alive: Callable[[Record], bool]) -> int:
    """How many starts died within YOUNG seconds, of late: in the last REMEMBERED ones."""
    deaths = [end for end in ends(records, alive, now) if end.died and end.lived < YOUNG]
    return sum(0 <= now - end.at < REMEMBERED for end in deaths)


def delay_before(deaths: int, longest: float) -> float:
    """Seconds to wait before the next try after so many young deaths: 1, 2, 4, ... from the third on."""
    return 0.0 if deaths < 3 else min(longest, 2.0 ** min(deaths - 3, 20))


def _who(record: Record) -> tuple[object, object]:
    """Pid and start time, for each life of a container has pid 1.

    What is no number was written by nobody we know: it must not keep a gateway from starting.
    """
    pid, started = record.get("pid"), record.get("started")
    return pid if isinstance(pid, int) else None, started if isinstance(started, int) else None


def _end(record: Record, last: Record | None) -> End:
    """*last*: its beginning, or that of its service."""
    forced, text, why = record.get("event") == "forced", str(record.get("text", "")), record.get("why")
    if text == "stopped" and why:
        text = f"stopped by {why}"
    names = record.get("left")
    left = ", ".join(map(str, names)) if isinstance(names, (list, tuple)) else ""
    text += f"; unfinished: {left}" if left else ""
    code = record.get("code")
    died = code not in ASKED and (forced or (bool(code) and last is not None))
    return End(record["at"], text, died, _lived(last, record["at"]))


def _killed(last: Record, until: float) -> End:
    where = "" if last.get("event") == "start" else " in start()"
    text = f"killed, or crashed{where}: pid {last.get('pid')}, which had begun then, left no word"
    return End(last["at"], text, True, _lived(last, until))


def _lived(last: Record | None, until: float) -> float:
    return until - last["at"] if last is not None and last.get("event") == "start" else 0.0
