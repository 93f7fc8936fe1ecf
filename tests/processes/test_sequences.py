"""Whatever happens to a real gateway, in whatever order: signals, requests, clients, broken deploys, a frozen process.

The gateway is the command, the clients are clients, and somebody tries to take the name all the time.
GATEWAY_EXAMPLES=3000 plays 300 sequences instead of a handful.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from http_tools import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from speaking import PROGRAMS, eventually, gateway_argv, started
from supervisors.service import free_port
from torture import is_free, kill_all, pids

from gatewaylock.control.client import GoneError, talk
from gatewaylock.core.deadline import Deadline
from gatewaylock.core.plan import Mode

EXAMPLES = int(os.environ.get("GATEWAY_EXAMPLES", "50")) // 10
STOP = 3.0  # seconds: the budget of a stop
MODES = (Mode.EXEC, Mode.SPAWN, Mode.OVERLAP, Mode.IN_PROCESS)
WHOLE = f"import sys\nsys.path.insert(0, {str(PROGRAMS)!r})\nfrom echo_app import app\n"
OPTIONS = ("--allow-sigusr1", "--preflight-timeout", "10", "--probation", "0.1", "--stop-timeout", str(STOP))


class World:
    """One gateway, what was asked of it, and who asked."""

    def __init__(self, where: Path, mode: Mode) -> None:
        self.run_dir, self.deploy, self.port = where / "run", where / "deploy", free_port()
        self.deploy.mkdir()
        self.fix()
        self.restarts = 0
        self.answers: list[Future[str]] = []
        self.leave = ExitStack()
        bind = ("--bind", f"127.0.0.1:{self.port}", "--restart-mode", mode.value)
        argv = gateway_argv("run", "sequenced:app", "--run-dir", self.run_dir, *bind, *OPTIONS)
        self.said = self.leave.enter_context(started(*argv, cwd=self.deploy))
        self.leave.callback(kill_all, self.run_dir)
        self.said.hears("serving: ")
        self.clients = self.leave.enter_context(ThreadPoolExecutor(64))
        self.stolen = self.leave.enter_context(thief(self.run_dir))

    # -- what can happen ---------------------------------------------------------------------------

    def fetch(self) -> None:
        self.answers.append(self.clients.submit(self._get, "/fast"))

    def linger(self) -> None:
        self.answers.append(self.clients.submit(self._get, "/slow"))

    def exec(self) -> None:
        self._restart(Mode.EXEC)

    def spawn(self) -> None:
        self._restart(Mode.SPAWN)

    def overlap(self) -> None:
        self._restart(Mode.OVERLAP)

    def in_process(self) -> None:
        self._restart(Mode.IN_PROCESS)

    def usr1(self) -> None:
        self._signal(signal.SIGUSR1)

    def hup(self) -> None:
        self._signal(signal.SIGHUP)

    def flood(self) -> None:
        self._signal(signal.SIGUSR1, 50)

    def break_deploy(self) -> None:
        (self.deploy / "sequenced.py").write_text("raise OSError('no database')")

    def fix(self) -> None:
        (self.deploy / "sequenced.py").write_text(WHOLE)

    def quiet(self) -> None:
        self.ask("quiet", limit=5)

    def resume(self) -> None:
        self.ask("resume")

    def freeze(self) -> None:
        """It is stopped for a moment, as by a debugger or a laptop's lid."""
        stopped = pids(self.run_dir)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            threading.Event().wait(0.1)

    def settle(self) -> None:
        """Time passes until nothing is under way any more: one process, which serves, is quiet or parked."""
        assert eventually(self._is_settled, 20), f"{self.status()}\n{self.said.text()}"

    # -- what must be true -------------------------------------------------------------------------

    def promises(self) -> None:
        """After each step: G1."""
        assert not self.stolen or self.has_parked(), (
            "the name of a living gateway was taken\n" + self.said.text()
        )

    def has_parked(self) -> bool:
        """Whether a version broke between its proof and its start: alive, not serving, and the name is free."""
        return "Process will stay alive; fix the issue and restart." in self.said.text()

    def serves(self) -> None:
        """G2, G3, G7, G8: every request was answered, a restart works, ready means served."""
        self.fix()
        if self.has_parked():
            assert eventually(lambda: self.status()["phase"] in ("parked", "serving", "quiet"), 20)
            self.exec()
        self.settle()
        self.ask("resume")
        assert [answer.result(20) for answer in self.answers] == ["right"] * len(self.answers), (
            self.said.text()
        )
        assert eventually(lambda: self.status()["ready"], 20)
        life = self.status()["life"]
        assert life <= 1 + self.restarts, f"{self.restarts} restarts were asked for, this is life {life}"
        self.fetch()
        self.exec()
        assert eventually(lambda: self.status()["life"] > life, 20), self.said.text()
        self.settle()
        assert self.answers[-1].result(20) == "right"

    def ends(self, how: str) -> None:
        """G5, G6: a stop ends it on time, whatever is under way; every caller was told something."""
        began = time.monotonic()
        if how == "stop":
            self.ask("stop")
        elif how == "now":
            self.ask("stop", force=True)
        elif how == "kill":
            kill_all(self.run_dir)
        else:
            for pid in pids(self.run_dir):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM if how == "term" else signal.SIGINT)
        assert eventually(lambda: not pids(self.run_dir), STOP + 5), self.said.text()
        assert time.monotonic() - began < STOP + 1, self.said.text()
        self.stolen.clear()
        assert eventually(lambda: is_free(self.run_dir), 5), self.said.text()
        for answer in self.answers:  # a right one, or none: never half of one, nor a wrong one
            told = answer.result(25)
            assert told == "right" or "Error" in told, told

    # -- how ---------------------------------------------------------------------------------------

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        """One question; a process that goes may leave it unanswered, its successor then answers."""
        until = Deadline.after(20)
        while True:
            try:
                return self._ask(until, verb, **fields)
            except GoneError:
                assert not until.passed(), self.said.text()

    def status(self) -> dict[str, Any]:
        """What it says of itself."""
        facts: dict[str, Any] = self.ask("status")["status"]
        return facts

    def _ask(self, until: Deadline, verb: str, **fields: Any) -> dict[str, Any]:
        talking = talk(str(self.run_dir / "gateway.sock"), "gateway", until)
        try:
            return talking.ask(verb, **fields)
        finally:
            talking.close()

    def _restart(self, mode: Mode) -> None:
        self.restarts += 1
        self.ask("restart", mode=mode.value)

    def _signal(self, number: int, times: int = 1) -> None:
        self.restarts += times
        pid = self.status()["pid"]
        with suppress(ProcessLookupError):
            for _ in range(times):
                os.kill(pid, number)

    def _is_settled(self) -> bool:
        facts = self.status()
        return (
            facts["phase"] in ("serving", "quiet") and not facts["proving"] and len(pids(self.run_dir)) == 1
        )

    def _get(self, path: str) -> str:
        try:
            with Client(("127.0.0.1", self.port)) as client:
                status, _, body = client.get(f"{path}?x")
        except (OSError, EOFError) as error:
            return repr(error)
        return "right" if status == "HTTP/1.1 200 OK" and body == f"{path}?x".encode() else status


@contextmanager
def thief(run_dir: Path) -> Iterator[list[float]]:
    """Somebody who tries to take the name every few milliseconds; the instants at which that worked."""
    taken: list[float] = []
    end = threading.Event()

    def steal() -> None:
        while not end.wait(0.005):
            if is_free(run_dir):
                taken.append(time.monotonic())

    thread = threading.Thread(target=steal, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        end.set()
        thread.join()


NEVER_BEFORE_THE_END = ("promises", "serves", "ends", "ask", "status", "has_parked")
STEPS = [name for name, one in vars(World).items() if callable(one) and not name.startswith("_")]
STEPS = [name for name in STEPS if name not in NEVER_BEFORE_THE_END]


@settings(
    max_examples=EXAMPLES,
    phases=[Phase.generate],  # to shrink one of minutes takes hours
    deadline=None,
    derandomize="GATEWAY_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.sampled_from(MODES),
    st.lists(st.sampled_from(STEPS), min_size=3, max_size=12),
    st.booleans(),
    st.sampled_from(("term", "int", "stop", "now", "kill")),
)
def test_every_promise_holds_in_real_processes(mode: Mode, steps: list[str], serves: bool, end: str) -> None:
    with tempfile.TemporaryDirectory(prefix="gw-", ignore_cleanup_errors=True) as where:
        world = World(Path(where), mode)
        with world.leave:
            for step in steps:
                getattr(world, step)()
                world.promises()
            if serves:
                world.serves()
                world.promises()
            world.ends(end)
