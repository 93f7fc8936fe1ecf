"""Real supervisors.  All of them, in all restart modes: ``python -m tests.benchmarks.supervisors``."""

from __future__ import annotations

from pathlib import Path

import pytest
from http_tools import Hammer
from speaking import eventually, gateway
from supervisors.every import QUICK
from supervisors.keeper import Keeper
from supervisors.service import Service, free_port


def services(keeper: Keeper, run_dir: Path) -> tuple[Service, Service]:
    """A gateway and its rival for the name."""
    port = free_port()
    one, two = (
        Service(keeper.work, name, "--lock-timeout", "0.1", run_dir=run_dir / "run", port=port)
        for name in ("one", "two")
    )
    keeper.add(one)
    keeper.add(two)
    return one, two


@pytest.mark.parametrize("kind", QUICK, ids=lambda kind: kind.name)
def test_a_supervisor_sees_one_pid_over_a_restart_and_nothing_after_a_stop(
    run_dir: Path, kind: type[Keeper]
) -> None:
    if why := kind.why_not():
        pytest.skip(why)
    with kind(run_dir) as keeper:
        one, two = services(keeper, run_dir)
        keeper.start(one)
        one.says("serving: ")
        pid = keeper.pid(one)
        with Hammer(("127.0.0.1", one.port), fresh=1, kept=1) as clients:
            done = gateway("restart", "--run-dir", one.run_dir)
            assert "life 2 serves" in done.stdout, done.stderr
        assert clients.lost() == {}
        assert keeper.pid(one) == pid

        keeper.start(two)
        two.says(r"gateway already running \(pid (\d+|unknown)\)")  # a pid of another namespace is nobody's
        if keeper.insists:
            two.says("gateway already running", times=2)
        else:
            assert eventually(lambda: keeper.rests(two)), keeper.state(two)
            assert two.said("gateway already running") == 1
        assert one.alive() == [pid] and keeper.pid(one) == pid
        assert keeper.starts(one) == 0

        if keeper.revives:
            keeper.kill(one)
            one.says("serving: .* life=1", times=2)
        keeper.stop(one)
        assert one.alive() == []
