"""The trial of the next version, on its thread: what it hangs in holds no later request."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from inside import inside, refuses


def test_a_trial_that_hangs_in_a_call_is_given_up_and_the_next_one_is_made(run_dir: Path) -> None:
    hold, calls = threading.Event(), []

    def popen(*args: Any, **options: Any) -> Any:
        calls.append(threading.current_thread())
        hold.wait(20)
        refuses()

    with inside(run_dir, calls={"popen": popen}) as room:
        for number, mode in ((1, "exec"), (2, "spawn")):
            room.gateway.request_restart("a restart", mode=mode)
            assert room.reaches(lambda: outcomes(room, "could not be tried in time") == number), number  # noqa: B023
            assert room.gateway.status().ready
        hold.set()
    for thread in calls:
        thread.join(10)
    assert len(calls) == 2 and not any(thread.is_alive() for thread in calls)


def outcomes(room: Any, text: str) -> int:
    """How many ended so."""
    return sum(event.kind == "outcome" and text in event.facts["text"] for event in room.events)
