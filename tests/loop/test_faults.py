"""Each call of Host and each file operation fails once, everywhere: it serves, or has ended with the name free.

A sample of the cases that ``python -m tests.benchmarks.faults`` makes all of.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from faults import ERRORS, Fault
from plays import STORIES
from theatre import Theatre

from gatewaylock.system.host import Host

MOST = 45  # cases of a story
#: of Host: what no story comes to
NEVER_CALLED = {"host.exit_now", "host.siginterrupt", "host.waitid"}


@pytest.fixture
def theatre() -> Iterator[Theatre]:
    theatre = Theatre()
    yield theatre
    theatre.faults.on = False


@pytest.mark.parametrize("story", STORIES)
def test_a_call_that_fails_wedges_nothing(theatre: Theatre, story: str) -> None:
    """One position of each call, then more of the frequent ones; the error drawn for each."""
    draw = random.Random(story)
    places = [(op, at) for op, count in theatre.calls(story).items() for at in range(1, count + 1)]
    draw.shuffle(places)
    first = list({op: (op, at) for op, at in places}.values())
    chosen = first + [place for place in places if place not in first][: MOST - len(first)]
    wrong = {}
    for op, at in chosen:
        fault = Fault(op, at, draw.choice(ERRORS))
        if found := theatre.tell(story, fault):
            wrong[fault] = (found, theatre.faults.site)
    assert not wrong


def test_the_stories_come_to_every_call_of_host(theatre: Theatre) -> None:
    called = {op for story in STORIES for op in theatre.calls(story)}
    expected = {f"host.{name}" for name in Host.__dataclass_fields__}
    assert expected - called == NEVER_CALLED
    assert {"fcntl.flock", "os.replace"} <= called
