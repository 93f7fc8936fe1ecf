from __future__ import annotations

import json
from itertools import product

import pytest

from gatewaylock.core import plan
from gatewaylock.core.plan import TABLE, Outcome, Phase, Status, step


def test_the_drawing_shows_the_table_and_nothing_else() -> None:
    assert plan.__doc__ is not None
    drawn = {line.strip() for line in plan.__doc__.splitlines() if "-->" in line}
    edges = {f"{here.name:<11} {f'--{event}-->':<13} {there.name}" for (here, event), there in TABLE.items()}
    assert drawn == edges


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_be_reached_and_all_but_the_last_be_left(phase: Phase) -> None:
    assert phase is Phase.STARTING or phase in TABLE.values()
    assert phase is Phase.EXITED or any(here is phase for here, _ in TABLE)


@pytest.mark.parametrize(("phase", "event"), list(product(Phase, sorted({event for _, event in TABLE}))))
def test_a_step_is_an_edge_of_the_table_or_an_error(phase: Phase, event: str) -> None:
    if (phase, event) in TABLE:
        assert step(phase, event) is TABLE[phase, event]
    else:
        with pytest.raises(LookupError):
            step(phase, event)


def test_a_stop_is_possible_wherever_the_gateway_is_not_on_its_way_down() -> None:
    for phase in (Phase.STARTING, Phase.SERVING, Phase.PARKED, Phase.RESPAWNING):
        assert (phase, "stop") in TABLE


def test_status_and_outcome_are_ready_for_json() -> None:
    status = Status(
        name="n", pid=1, phase=Phase.SERVING, life=2, uptime=1.0, life_uptime=None, addresses=("a:1",),
        tasks_active=0, tasks_queued=0, lanes={}, runs=(), restart_mode="exec", reason="", time_left=None,
        proving=False,
    )  # fmt: skip
    assert json.loads(json.dumps(status.as_dict()))["ready"] is True
    assert json.loads(json.dumps(Outcome("t", None, Phase.PARKED, 1, 2).as_dict()))["phase"] == "parked"
