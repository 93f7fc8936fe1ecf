"""Whatever happens to a gateway, in whatever order: the promises of the specification, as code.

A sequence of events is drawn and played to a real loop in this process; after each step and at the end the
promises are looked at.  What is waited for are events; time itself is one of the events.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inside import Inside, is_free

from gatewaylock import Gateway, GatewayError, Limits
from gatewaylock.core.plan import Phase
from gatewaylock.work.runs import Run

#: sequences of each run; GATEWAY_EXAMPLES=3000 for many
EXAMPLES = int(os.environ.get("GATEWAY_EXAMPLES", "90"))
REPEATED = "GATEWAY_EXAMPLES" not in os.environ  #: the same ones each time
LIMITS = Limits(
    drain=0.03, shutdown=0.5, stop=0.25, start=5, preflight=1, lock=0.1, abort=0.01, backoff=0, lame_duck=0
)


class World:
    """One gateway, and everything that happens to it."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.hold = threading.Event()
        self.futures: list[Future[Any]] = []
        self.runs: list[Run] = []
        self.start_fails = self.close_fails = False
        self.restarts_asked = 0
        self.room = Inside(
            run_dir, self.start, limits=LIMITS, restart_mode="in-process", allow_sigusr1=True
        ).begin()
        assert self.room.serves()

    def start(self, gateway: Gateway) -> World:
        fails, self.start_fails = self.start_fails, False
        if fails:
            raise OSError("no database")
        return self

    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        fails, self.close_fails = self.close_fails, False
        if fails:
            raise OSError("half closed")

    # -- what can happen ---------------------------------------------------------------------------

    def restart(self) -> None:
        self._restart("a restart")

    def forced_exec(self) -> None:
        self._restart("an exec that fails", mode="exec", force=True)

    def refused_exec(self) -> None:
        self._restart("a version that cannot be tried", mode="exec")

    def usr1(self) -> None:
        self.restarts_asked += 1
        self.room.paper.signal(signal.SIGUSR1)

    def _restart(self, why: str, **how: Any) -> None:
        self.restarts_asked += 1
        self.room.gateway.request_restart(why, **how)

    def submit(self) -> None:
        self._submit(int)

    def fail(self) -> None:
        self._submit(int, "no number")

    def occupy(self) -> None:
        self._submit(self.hold.wait, 30)

    def release(self) -> None:
        self.hold.set()

    def begin_run(self) -> None:
        run = self.room.gateway.runs.register(f"r{len(self.runs)}", abort=lambda: run.end())
        self.runs.append(run)

    def begin_deaf_run(self) -> None:
        self.runs.append(self.room.gateway.runs.register(f"r{len(self.runs)}", abort=lambda: None))

    def end_runs(self) -> None:
        for run in self.runs:
            run.end()

    def break_start(self) -> None:
        self.start_fails = True

    def break_close(self) -> None:
        self.close_fails = True

    def settle(self) -> None:
        """Time passes: whatever was under way has ended."""
        assert self.room.serves(0) or self.room.over, "neither serving nor parked nor over"

    def _submit(self, work: Callable[..., Any], *args: Any) -> None:
        before = self._look()
        try:
            self.futures.append(self.room.gateway.lanes.submit(work, *args))
            accepted = True
        except GatewayError:
            accepted = False
        if before == self._look() and not self.room.over:  # G8
            assert accepted == before[0] or self.moved(), f"ready {before}, accepted {accepted}"

    def _look(self) -> tuple[bool, int]:
        """Whether it is ready, and what has happened until now: it may be so again, and not still."""
        return self.room.gateway.status().ready, len(self.room.events)

    def moved(self) -> bool:
        """Whether something is under way: then the two looks were not at the same gateway."""
        house = self.room.gateway._house
        unread = house and (house.inbox._batch or not house.inbox._messages.empty())
        return bool(unread) or self.room.gateway.phase is not Phase.SERVING

    def restarts(self) -> bool:
        """Whether one more restart works; the first may join one under way that is refused."""
        for _ in range(4):
            life, told = self.room.gateway.life, self._outcomes()
            self.restart()
            assert self.room.reaches(
                lambda life=life, told=told: self._renewed(life) or self._outcomes() > told
            )
            if self.room.serves(0) and self._renewed(life):
                return True
        return False

    def _renewed(self, life: int) -> bool:
        return self.room.gateway.phase is Phase.SERVING and self.room.gateway.life > life

    def _outcomes(self) -> int:
        return sum(event.kind == "outcome" for event in self.room.events)

    # -- what must be true -------------------------------------------------------------------------

    def promises(self) -> None:
        """After each step: G1."""
        without = (
            Phase.PARKED,
            Phase.RESPAWNING,
            Phase.STARTING,
            Phase.EXITED,
        )  # parked, or coming from there
        if self.room.gateway.phase not in without and is_free(self.run_dir):
            assert self.room.gateway.phase in without or self.room.over, "active, and the name is free"

    def end(self, how: str = "asked") -> None:
        """G6, G5, G2: a stop ends it, whatever came before; the name is free and every caller has been told."""
        for stop in STOPS[how]:
            stop(self)
        assert self.room.ends(5), "a stop was not served on time"
        assert self.room.error is None or isinstance(self.room.error, GatewayError | SystemExit), (
            self.room.error
        )
        assert is_free(self.run_dir)
        self.hold.set()
        for future in self.futures:
            with suppress(Exception):
                future.result(20)
            assert future.done()
        self._lives()

    def _lives(self) -> None:
        """G4, G6: one life follows the other, none without having been asked for, and none after the stop."""
        ready = [
            event for event in self.room.events if event.kind == "phase" and event.facts["edge"] == "ready"
        ]
        lives = [event.life for event in ready]
        assert lives == sorted(set(lives)) and lives[0] == 1, lives
        assert len(lives) <= 1 + self.restarts_asked, f"{self.restarts_asked} asked for, lives {lives}"
        stopped = [at for at, event in enumerate(self.room.events) if event.facts.get("edge") == "stop"]
        assert not stopped or ready[-1] in self.room.events[: stopped[0]], "a life after the stop"


STOPS: dict[str, list[Callable[[World], object]]] = {
    "asked": [lambda world: world.room.gateway.request_stop("the end")],
    "SIGTERM": [lambda world: world.room.paper.signal(signal.SIGTERM)],
    "SIGINT": [lambda world: world.room.paper.signal(signal.SIGINT)],
    "twice": [lambda world: world.room.paper.signal(signal.SIGTERM)] * 2,
    "thrice": [lambda world: world.room.paper.signal(signal.SIGINT)] * 3,
}
STEPS = [name for name, one in vars(World).items() if callable(one) and not name.startswith("_")]
STEPS = [name for name in STEPS if name not in ("start", "close", "moved", "promises", "restarts", "end")]


@settings(max_examples=EXAMPLES, deadline=None, derandomize=REPEATED, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(STEPS), max_size=14), st.sampled_from(sorted(STOPS)))
def test_every_promise_holds_in_every_sequence_of_events(steps: list[str], stop: str) -> None:
    with tempfile.TemporaryDirectory(prefix="gw-") as where:
        world = World(Path(where))
        try:
            for step in steps:
                if world.room.over:
                    break
                getattr(world, step)()
                world.promises()
        finally:
            world.end(stop)


@settings(
    max_examples=EXAMPLES // 3, deadline=None, derandomize=REPEATED, suppress_health_check=list(HealthCheck)
)
@given(st.lists(st.sampled_from(STEPS), max_size=10))
def test_after_every_sequence_a_restart_works_again(steps: list[str]) -> None:
    """G7, G4: nothing that happened wedges the next request, as long as no half closed server ended it."""
    with tempfile.TemporaryDirectory(prefix="gw-") as where:
        world = World(Path(where))
        try:
            for step in steps:
                if step != "break_close":
                    getattr(world, step)()
            world.hold.set()
            world.end_runs()
            world.settle()
            world.start_fails = False
            assert world.restarts()
            assert world.room.gateway.status().ready
        finally:
            world.end()
