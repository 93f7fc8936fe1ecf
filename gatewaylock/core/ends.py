"""What the history says: how the last gateway ended, and how many starts died young.  Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Record = Mapping[str, Any]

#: a start that died within so many seconds died young, and for so many seconds that is remembered
YOUNG, REMEMBERED = 60.0, 300.0


class End(NamedTuple):
    """How one process of a gateway ended: ``at`` in seconds since 1970, ``text`` for people."""

    at: float
    text: str
    died: bool = False  #: nobody had asked for it
    lived: float = 0.0  #: seconds since it had begun to serve last; 0 where it never did, or nobody knows


def ends(records: Sequence[Record], alive: Callable[[Record], bool]) -> list[End]:
    """Every end, oldest first.  *alive* says whether the process that wrote a record still is the same.

    A process that served and is gone without a word was killed; nobody knows when, so that is told as the
    moment when it began.
    """
    serving: dict[object, Record] = {}
    found = []
    for record in records:
        kind, pid = record.get("event"), _pid(record)
        if kind == "start":
            serving[pid] = record
        elif kind == "failed":
            serving.pop(pid, None)
            found.append(End(record["at"], f"gateway startup failed: {record.get('text')}", True))
        elif kind in ("end", "forced"):
            found.append(_end(record, serving.pop(pid, None)))
    found += [_killed(start) for start in serving.values() if not alive(start)]
    return sorted(found)


def young_deaths(records: Sequence[Record], now: float, alive: Callable[[Record], bool]) -> int:
    """How many starts died within YOUNG seconds, of late: in the last REMEMBERED ones."""
    deaths = [end for end in ends(records, alive) if end.died and end.lived < YOUNG]
    return sum(0 <= now - end.at < REMEMBERED for end in deaths)


def delay_before(deaths: int, longest: float) -> float:
    """Seconds to wait before the next try after so many young deaths: 1, 2, 4, ... from the third on."""
    return 0.0 if deaths < 3 else min(longest, 2.0 ** min(deaths - 3, 20))


def _pid(record: Record) -> object:
    """What is no number was written by nobody we know: it must not keep a gateway from starting."""
    pid = record.get("pid")
    return pid if isinstance(pid, int) else None


def _end(record: Record, start: Record | None) -> End:
    forced, text, why = record.get("event") == "forced", str(record.get("text", "")), record.get("why")
    if text == "stopped" and why:
        text = f"stopped by {why}"
    names = record.get("left")
    left = ", ".join(map(str, names)) if isinstance(names, (list, tuple)) else ""
    text += f"; unfinished: {left}" if left else ""
    died = forced or (bool(record.get("code")) and start is not None)
    return End(record["at"], text, died, record["at"] - start["at"] if start else 0.0)


def _killed(start: Record) -> End:
    return End(
        start["at"], f"killed, or crashed: pid {start.get('pid')}, which had begun then, left no word", True
    )
