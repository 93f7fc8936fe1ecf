"""The fresh pid in the hands of the old process: a real helper, a real successor."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from gatewaylock.core.deadline import Deadline
from gatewaylock.system import successor as room
from gatewaylock.system.host import Host
from gatewaylock.system.image import CommandLine, Handoff
from gatewaylock.system.successor import Successor

LIMIT = 20.0


def handoff(channel: int) -> Handoff:
    """Of a gateway that has nothing."""
    return Handoff("x", 1, 1, 0.0, (-1, -1), (-1, -1), {}, {}, (), (), 0.0, 0.0, channel=channel)


def test_a_successor_ended_by_two_threads_at_its_death_is_closed_once(
    monkeypatch: pytest.MonkeyPatch, descriptors: None
) -> None:
    """The one that tried it and the one that calls it off: both see its end in the same instant."""
    line = CommandLine(
        (sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"), "", dict(os.environ)
    )
    successor = Successor(Host(), line)
    successor.start(handoff, Deadline.after(LIMIT))
    pidfd, both, closed = successor._pidfd, threading.Barrier(2), []

    def close(number: int) -> None:
        if number == pidfd:
            closed.append(number)
            try:
                both.wait(1)  # for the other thread, where it comes this far
            except threading.BrokenBarrierError:
                pass
        os.close(number)

    monkeypatch.setattr(room, "os", type("OS", (), {**vars(os), "close": staticmethod(close)}))
    tried = threading.Thread(target=lambda: (successor.hear(Deadline.after(LIMIT)), successor.end()))
    tried.start()
    successor.end()
    tried.join(LIMIT)
    assert closed == [pidfd] and not Path(f"/proc/self/fd/{pidfd}").exists()
