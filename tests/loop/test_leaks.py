"""A thousand lives leave nothing behind: no thread, descriptor, future, lane or object of ours."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from pathlib import Path

from inside import Inside, inside
from speaking import eventually

from gatewaylock import Gateway, Limits


class Busy:
    """A server whose life had work of every kind."""

    def __init__(self, gateway: Gateway) -> None:
        self.future = gateway.lanes.submit(int, lane=f"lane-{gateway.life}")
        self.run = gateway.runs.register(
            f"run-{gateway.life}", abort=self.give_up, is_compacting=lambda: True
        )
        gateway.listen("127.0.0.1", 0)

    def give_up(self) -> None:
        """Asked before the drain begins."""
        self.run.end()

    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        """Its task has ended in the drain, its run is aborted there."""
        assert self.future.done()


#: the loop's, the log's and the door's; the workers of the lanes end by themselves
STAY = {"MainThread", "inside", "gatewaylock-log", "gatewaylock-control"}


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "worker" not in thread.name}


def left(room: Inside) -> tuple[int, dict[str, int]]:
    """Descriptors, and objects of ours by type, once the threads of the last life have gone."""
    assert eventually(lambda: threads() == STAY, 10), threads()
    room.events.clear()
    gc.collect()
    every = Counter(type(one) for one in gc.get_objects())
    ours = {
        kind.__qualname__: count
        for kind, count in every.items()
        if str(kind.__module__).startswith("gatewaylock")
    }
    return len(os.listdir("/proc/self/fd")), ours


def lives(room: Inside, until: int) -> None:
    for life in range(room.gateway.life + 1, until + 1):
        room.gateway.request_restart(f"life {life}")
        assert room.serves(life)


def test_a_thousand_lives_leave_nothing_behind(run_dir: Path) -> None:
    with inside(run_dir, Busy, restart_mode="in-process", limits=Limits(backoff=0)) as room:
        lives(room, 20)
        descriptors, objects = left(room)
        lives(room, 1000)
        now, more = left(room)
        assert now == descriptors
        grown = {kind: count - objects.get(kind, 0) for kind, count in more.items()}
        assert {kind: by for kind, by in grown.items() if by > 5} == {}
        assert room.gateway.lanes.total() == 0 and room.gateway.lanes.sizes() == {}
        assert len(room.gateway.status().runs) == 1
