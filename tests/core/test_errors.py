from __future__ import annotations

import pickle

import pytest

from gatewaylock.core import errors
from gatewaylock.core.errors import (
    AddressTakenError,
    GatewayDrainingError,
    GatewayError,
    GatewayLockError,
    LaneClearedError,
    NotRunningError,
    WorkLostError,
)

SAMPLES: list[GatewayError] = [
    GatewayLockError(12, 5.0, "held for 3 min"),
    AddressTakenError("127.0.0.1:1"),
    AddressTakenError("127.0.0.1:1", "it is parked"),
    LaneClearedError("chat"),
    WorkLostError("chat", began=True),
    NotRunningError("n", "/run"),
    GatewayDrainingError(),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_keeps_its_facts_over_a_pickle(error: GatewayError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_the_words_operators_grep_for() -> None:
    text = "gateway already running (pid 12); lock timeout after 5000ms"
    assert str(GatewayLockError(12, 5.0)) == text
    assert str(AddressTakenError("h:1")) == "another gateway instance is already listening on h:1"
    assert str(GatewayDrainingError()) == "Gateway is draining for restart; new tasks are not accepted"
    assert str(LaneClearedError("chat")) == 'Command lane "chat" cleared'


def test_the_page_of_errors_names_each_with_its_exit_code() -> None:
    page = dict[str, int]()
    for line in (errors.__doc__ or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[1].isdigit():
            page[words[0]] = int(words[1])
    made = {
        name: value.exit_code
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, GatewayError)
    }
    assert page == made
