"""The metrics: one table, and how each is read.  Only this room knows ``prometheus_client``, an extra.

from prometheus_client import CollectorRegistry        # or have them in a registry of your own
registry.register(Collector(lambda: facts))
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.plan import Mode, Phase, Status
from ..version import VERSION
from .tally import OUTCOMES, Drains, Tally
from .wire import Answer, say

if TYPE_CHECKING:
    from ..loop.annex import Insight

CLASSES = 20  #: classes of lanes told apart; the others are "other"
CLASS = re.compile(r"[A-Za-z_]{1,32}")
OTHER = "other"
MISSING = "metrics need prometheus_client: pip install 'gatewaylock[metrics]'"


class Metric(NamedTuple):
    """One family.  ``gateway help metrics`` prints these rows."""

    name: str
    kind: str
    labels: tuple[str, ...]
    says: str
    read: Callable[[Facts], Iterable[tuple[tuple[str, ...], Any]]]


@dataclass(frozen=True)
class Facts:
    """What there is to measure at one moment."""

    status: Status
    classes: dict[str, tuple[int, int]]  #: class of lanes -> tasks running, queued
    runs: int = 0
    restarts: Counter[str] = field(default_factory=Counter)
    drains: Drains = field(default_factory=Drains)
    refused: int = 0
    http: Counter[str] = field(default_factory=Counter)
    lock_wait: float = 0.0
    forced: int = 0

    @classmethod
    def gather(cls, insight: Insight, tally: Tally, classes: Classes, forced: int) -> Facts:
        """Now."""
        return cls(
            status=insight.desk.status(),
            classes=classes.sort(insight.work.lanes.census()),
            runs=insight.work.runs.active_count(),
            restarts=tally.restarts,
            drains=tally.drains,
            refused=tally.refused,
            http=tally.http(),
            lock_wait=insight.lock_wait,
            forced=forced,
        )


class Classes:
    """Lanes by the letters that their names begin with: names are the clients', and may be any number."""

    def __init__(self) -> None:
        self._known: set[str] = {"main"}

    def sort(self, census: Iterable[tuple[str, int, int]]) -> dict[str, tuple[int, int]]:
        """Class -> tasks running and queued; one that was seen once is always there."""
        running, queued = Counter[str](), Counter[str]()
        for name, runs, waits in census:
            found = CLASS.match(name)
            kind = found[0] if found else OTHER
            if kind not in self._known and len(self._known) < CLASSES:
                self._known.add(kind)
            kind = kind if kind in self._known else OTHER
            running[kind] += runs
            queued[kind] += waits
        return {kind: (running[kind], queued[kind]) for kind in sorted({*self._known, OTHER})}


def _one(read: Callable[[Facts], float | None]) -> Callable[[Facts], Iterable[tuple[tuple[str, ...], Any]]]:
    """A metric without labels; where it is None there is no sample."""
    return lambda facts: [((), value)] if (value := read(facts)) is not None else []


METRICS = (
    Metric(
        "gatewaylock_info", "gauge", ("name", "version"), "always 1: which gateway, and which version of us",
        lambda facts: [((facts.status.name, VERSION), 1)],
    ),
    Metric(
        "gatewaylock_phase", "gauge", ("phase",), "1 for the phase it is in, 0 for the others",
        lambda facts: [((phase.value,), int(phase is facts.status.phase)) for phase in Phase],
    ),
    Metric(
        "gatewaylock_ready", "gauge", (), "1 while new work is accepted",
        _one(lambda facts: int(facts.status.ready)),
    ),
    Metric(
        "gatewaylock_lives", "counter", (), "lives begun, over every restart",
        _one(lambda facts: facts.status.life),
    ),
    Metric(
        "gatewaylock_start_time_seconds", "gauge", (), "when the first life began, since 1970",
        _one(lambda facts: time.time() - facts.status.uptime),
    ),
    Metric(
        "gatewaylock_life_seconds", "gauge", (), "for how long this life serves; missing while none does",
        _one(lambda facts: facts.status.life_uptime),
    ),
    Metric(
        "gatewaylock_restarts", "counter", ("mode", "outcome"), "restarts that were accepted: done or failed",
        lambda facts: [
            ((mode.value, outcome), facts.restarts[f"{mode.value} {outcome}"])
            for mode in Mode
            for outcome in OUTCOMES
        ],
    ),
    Metric(
        "gatewaylock_recorded_forced_exits", "gauge", (), "ends by the watchdog in the history, which forgets the oldest",
        _one(lambda facts: facts.forced),
    ),
    Metric(
        "gatewaylock_drain_seconds", "histogram", (), "how long drains took",
        lambda facts: [((), facts.drains)],
    ),
    Metric(
        "gatewaylock_deadline_seconds", "gauge", (), "until a stop or restart is ended by force; missing else",
        _one(lambda facts: facts.status.time_left),
    ),
    Metric(
        "gatewaylock_tasks", "gauge", ("class", "state"),
        "tasks running and queued, by the letters that their lane begins with",
        lambda facts: [
            ((kind, state), number)
            for kind, numbers in facts.classes.items()
            for state, number in zip(("running", "queued"), numbers, strict=True)
        ],
    ),
    Metric(
        "gatewaylock_tasks_refused", "counter", (), "tasks not admitted: draining, or quiet",
        _one(lambda facts: facts.refused),
    ),
    Metric("gatewaylock_runs", "gauge", (), "runs registered", _one(lambda facts: facts.runs)),
    Metric(
        "gatewaylock_http_in_flight", "gauge", (), "requests that are being answered",
        _one(lambda facts: facts.http["in_flight"]),
    ),
    Metric(
        "gatewaylock_http_responses", "counter", ("status",), "answers by class of status: 2xx, ...",
        lambda facts: [((f"{digit}xx",), facts.http[f"{digit}xx"]) for digit in range(1, 6)],
    ),
    Metric(
        "gatewaylock_lock_wait_seconds", "gauge", (), "how long this process waited for the name",
        _one(lambda facts: facts.lock_wait),
    ),
)  # fmt: skip


class Collector:
    """For a registry of ``prometheus_client``; *gather* is called at each scrape."""

    def __init__(self, gather: Callable[[], Facts]) -> None:
        self._gather = gather

    def collect(self) -> Iterator[Any]:
        """Every family.  ImportError without the library."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        families = {
            "counter": CounterMetricFamily,
            "gauge": GaugeMetricFamily,
            "histogram": HistogramMetricFamily,
        }
        facts = self._gather()
        for metric in METRICS:
            family: Any = families[metric.kind](metric.name, metric.says, labels=metric.labels)
            for labels, value in metric.read(facts):
                if isinstance(value, Drains):
                    family.add_metric(labels, buckets=value.buckets(), sum_value=value.sum)
                else:
                    family.add_metric(labels, value)
            yield family


def exposition(gather: Callable[[], Facts], accept: str) -> Answer:
    """What a scrape gets, in the format that it accepts; 501 without the library."""
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
    except ImportError:
        return say(HTTPStatus.NOT_IMPLEMENTED, MISSING)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(gather))
    encoder, kind = choose_encoder(accept)
    return Answer(HTTPStatus.OK, encoder(registry), kind)
