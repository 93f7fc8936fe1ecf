"""What is counted of what happened.  Heard on the loop's thread, read on any."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..core.events import Event
from ..core.plan import Action, Phase
from ..loop.annex import Insight

BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0, 300.0)  #: seconds of a drain
OUTCOMES = ("done", "failed")


class Tally:
    """Counts over every image of one gateway: the next one begins with what this one has kept.

    That is one small object in the hand-over, and once more in the word that tells a successor to go: it was
    loaded before our last requests, and Prometheus takes a count that falls for one that began at 0.  What we
    still count while a successor serves (``overlap``) is lost.  A process that begins anew begins at 0.
    """

    def __init__(self, insight: Insight) -> None:
        self._insight = insight
        kept = insight.kept
        #: "mode outcome" -> restarts
        self.restarts: Counter[str] = _counter(kept, "restarts")
        #: "2xx" -> answers of the servers of former lives
        self._http: Counter[str] = _counter(kept, "http")
        self._refused = int(_counter(kept, "refused")["tasks"])
        self.drains = Drains(kept.get("drains"))
        #: how many items the drain under way began with
        self.total: int | None = None
        self._since = 0.0
        self._succeeds = insight.succeeds
        self._server: object = None

    def hear(self, event: Event) -> None:
        """One more; MUST NOT block."""
        if event.kind == "phase":
            self._phase(event.phase, str(event.facts["edge"]), str(event.facts["was"]))
        account = event.facts.get("account") if event.kind == "outcome" else None
        if account and account["action"] == Action.RESTART.value:
            self._restarted(account["mode"], account["ok"])

    @property
    def refused(self) -> int:
        """Tasks that were not admitted."""
        return self._refused + self._insight.work.lanes.refused

    def http(self) -> Counter[str]:
        """ "2xx" -> answers; "in_flight" -> requests that are being answered."""
        return self._http + _counts(self._insight.server())

    def kept(self) -> dict[str, Any]:
        """For the next image."""
        http = self.http()
        del http["in_flight"]
        kept = {"restarts": self.restarts, "http": http, "refused": {"tasks": self.refused}}
        return {**{name: dict(counter) for name, counter in kept.items()}, "drains": self.drains.kept()}

    def _phase(self, phase: str, edge: str, was: str) -> None:
        work = self._insight.work
        if phase == Phase.DRAINING.value:
            self._since, self.total = time.monotonic(), work.lanes.total() + work.runs.active_count()
            self._server = self._insight.server()
        elif was == Phase.DRAINING.value:
            self.drains.add(time.monotonic() - self._since)
            self.total = None
        if edge in ("closed", "stopped"):  # its server counts no more, and is nobody's now
            final, self._server = _counts(self._server), None
            del final["in_flight"]
            self._http += final
        if edge == "ready" and self._succeeds:  # the process before us tells nobody but who asked
            self._restarted(self._succeeds, True)
            self._succeeds = ""

    def _restarted(self, mode: str, ok: bool) -> None:
        self.restarts[f"{mode} {OUTCOMES[0] if ok else OUTCOMES[1]}"] += 1


class Drains:
    """A histogram: how many drains took at most how long."""

    def __init__(self, kept: object = None) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0
        if isinstance(kept, Mapping) and len(kept.get("counts", ())) == len(self.counts):
            self.counts, self.sum = [int(count) for count in kept["counts"]], float(kept["sum"])

    def add(self, seconds: float) -> None:
        """One more drain."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, how many took at most that), as Prometheus wants them."""
        total, found = 0, []
        for bound, count in zip([*map(str, BUCKETS), "+Inf"], self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found

    def kept(self) -> dict[str, Any]:
        """For the next image."""
        return {"counts": list(self.counts), "sum": self.sum}


def _counter(kept: Mapping[str, Any], name: str) -> Counter[str]:
    """What another version may have left."""
    found = kept.get(name)
    pairs = found.items() if isinstance(found, Mapping) else ()
    return Counter({str(key): int(value) for key, value in pairs if isinstance(value, int)})


def _counts(server: object) -> Counter[str]:
    """What a server counts, if it does."""
    counts = getattr(server, "counts", None)
    return Counter(counts() if callable(counts) else {})
