"""Tasks that say when they began and end when they are told to; and what must be true of lanes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from gatewaylock.work.lanes import Lanes

LONG = 10.0  # seconds after which a test that hangs fails


def quiet(lanes: Lanes) -> None:
    """Wait until every worker has counted out what it did; then there must be nothing left of it."""
    with lanes._changed:
        assert lanes._changed.wait_for(lambda: not lanes.total(), LONG)
        assert not lanes._queues.running and not lanes._queues.ready and not lanes._queues.lanes
    assert (lanes.total(), lanes.active_count(), lanes.queued_count(), lanes.sizes()) == (0, 0, 0, {})


def consistent(lanes: Lanes) -> None:
    """What must be true whenever nobody holds the lock."""
    with lanes._changed:
        queued = sum(len(lane.queue) for lane in lanes._queues.lanes.values())
        assert lanes._queues.total == queued + len(lanes._queues.ready) + len(lanes._queues.running)
        slots = Counter(task.lane for task in (*lanes._queues.ready, *lanes._queues.running))
        for name, lane in lanes._queues.lanes.items():
            assert lane.name == name and lane.size() > 0, "an idle lane stays"
            assert lane.slots == slots.pop(lane, 0)
            assert not lane.queue or lane.held or lane.slots >= lane.limit, "a lane is wedged"
        assert not slots
        team = lanes._crew
        if lanes._queues.ready and not lanes._queues.held:
            assert team._coming or (not team._idle and team._size == team._most), "nobody comes"


class Gate:
    """A task that says when it began and ends when it is told to."""

    def __init__(self) -> None:
        self.began, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.opened.wait(LONG)
        return "through"

    def entered(self) -> Gate:
        assert self.began.wait(LONG)
        return self


@contextmanager
def blocked(lanes: Lanes, lane: str = "main") -> Iterator[Future[str]]:
    """*lane* has one task that runs until the block is left."""
    gate = Gate()
    future = lanes.submit(gate, lane=lane)
    gate.entered()
    try:
        yield future
    finally:
        gate.opened.set()


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("gatewaylock-worker")]
