"""A desk that answers without a gateway, a server at it, and clients that say anything."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gatewaylock.control.server import ControlServer
from gatewaylock.core.plan import Phase, Request, Status, Verdict

STATUS = Status(
    name="fake",
    pid=1,
    phase=Phase.SERVING,
    life=3,
    uptime=100.0,
    life_uptime=10.0,
    addresses=("127.0.0.1:1",),
    tasks_active=0,
    tasks_queued=0,
    lanes={},
    runs=(),
    restart_mode="exec",
    reason="",
    time_left=None,
    proving=False,
)


class FakeDesk:
    """Takes every request down; answers at once with ``verdict``, or later where there is none."""

    def __init__(self, verdict: Verdict | None = None) -> None:
        self.verdict = verdict
        self.requests: list[Request] = []
        self.unanswered: list[Callable[[Verdict], object]] = []
        self.broken = False

    def status(self) -> Status:
        if self.broken:
            raise RuntimeError("no status today")
        return STATUS

    def post(self, request: Request, answer: Callable[[Verdict], object]) -> None:
        self.requests.append(request)
        if self.verdict is None:
            self.unanswered.append(answer)
        else:
            answer(self.verdict)


@contextmanager
def serving(
    run_dir: Path, desk: FakeDesk, *, patience: float = 5.0, closes: bool = True, **more: Any
) -> Iterator[tuple[ControlServer, str]]:
    """A server and where it listens."""
    path = str(run_dir / "fake.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(socket.SOMAXCONN)
        server = ControlServer(listener, desk, patience=patience, **more)
        server.start()
        try:
            yield server, path
        finally:
            if closes:
                server.close()


@contextmanager
def client(path: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(path)
        yield connection


def line(**fields: Any) -> bytes:
    return json.dumps({"v": 1, **fields}).encode() + b"\n"


def heard(connection: socket.socket) -> dict[str, Any]:
    """The next line; {} at the end of the connection."""
    said = b""
    while not said.endswith(b"\n"):
        try:
            byte = connection.recv(1)
        except ConnectionResetError:
            byte = b""
        if not byte:
            return {}
        said += byte
    reply: dict[str, Any] = json.loads(said)
    assert reply["v"] == 1
    return reply
