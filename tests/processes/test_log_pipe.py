"""A log is a pipe, and whoever reads it may be gone or asleep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from http_tools import Client
from speaking import PROGRAMS, environment, eventually, gateway, gateway_argv
from supervisors.service import free_port
from terminals import terminal, why_no_terminal

BUDGETS = ("--stop-timeout", "2", "--drain-timeout", "2", "--shutdown-timeout", "2")


class Piped:
    """A gateway whose log is a pipe that the test holds both ends of."""

    def __init__(self, argv: list[str], **env: str) -> None:
        self.read, self.write = os.pipe()
        self.popen = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=self.write, stderr=self.write, cwd=PROGRAMS,
            env=environment(**env),
        )  # fmt: skip
        self.text = ""

    def hears(self, text: str) -> None:
        while text not in self.text:
            more = os.read(self.read, 65536)
            assert more, self.text
            self.text += more.decode(errors="replace")

    def fill(self) -> None:
        """Until not one byte more goes in."""
        other = os.open(f"/proc/self/fd/{self.write}", os.O_WRONLY | os.O_NONBLOCK)
        for size in (65536, 1):
            with suppress(BlockingIOError):
                while os.write(other, b"x" * size):
                    pass
        os.close(other)

    def hang_up(self) -> None:
        """Nobody reads it any more."""
        os.close(self.read)
        self.read = -1

    def ends(self, limit: float) -> int:
        began = time.monotonic()
        code = self.popen.wait(30)
        assert time.monotonic() - began < limit
        return code


@contextmanager
def piped(argv: list[str], **env: str) -> Iterator[Piped]:
    said = Piped(argv, **env)
    try:
        said.hears("serving: ")
        yield said
    finally:
        said.popen.kill()
        said.popen.wait()
        for fd in (said.read, said.write):
            if fd >= 0:
                os.close(fd)


@contextmanager
def command(run_dir: Path, port: int) -> Iterator[Piped]:
    words = ("run", "echo_app:app", "--run-dir", run_dir, "--bind", f"127.0.0.1:{port}", *BUDGETS)
    with piped(gateway_argv(*words)) as said:
        yield said


def answers(port: int) -> bool:
    with Client(("127.0.0.1", port)) as client:
        return client.get("/x")[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("mode", "is_read"),
    [("exec", False), ("spawn", False), ("exec", True)],
    ids=["gone-exec", "gone-spawn", "full"],
)
def test_the_command_restarts_and_stops_whatever_becomes_of_its_log(
    run_dir: Path, mode: str, is_read: bool
) -> None:
    """Nobody reads it any more; or somebody could, and does not, and it is full."""
    port = free_port()
    with command(run_dir, port) as said:
        said.fill() if is_read else said.hang_up()
        assert answers(port)
        done = gateway("restart", "--run-dir", run_dir, "--mode", mode, limit=20)
        assert "life 2 serves" in done.stdout, done.stderr
        assert answers(port)
        done = gateway("stop", "--run-dir", run_dir, limit=20)
        assert done.returncode == 0, done.stderr
        assert said.ends(10) == 0


@pytest.mark.parametrize("by", ["signal", "socket"])
def test_a_program_whose_log_holds_its_loop_still_stops_in_time(run_dir: Path, by: str) -> None:
    """Its own logging blocks, in the line that says that it restarts: nobody serves a stop then."""
    with deaf(run_dir, stop=2) as said:
        if by == "signal":
            said.popen.send_signal(signal.SIGTERM)
        else:
            gateway("stop", "--name", "lives", "--run-dir", run_dir, limit=20)
        assert said.ends(10) == 0


def test_a_third_stop_ends_a_program_whose_log_holds_its_loop_at_once(run_dir: Path) -> None:
    with deaf(run_dir, stop=60) as said:
        # Again and again: the kernel and Python make one signal of two that come together.
        assert eventually(lambda: said.popen.poll() is not None or said.popen.send_signal(signal.SIGTERM))
        assert said.ends(1) == 143


@contextmanager
def deaf(run_dir: Path, stop: int) -> Iterator[Piped]:
    options = f"dict(allow_sigusr1=True, limits=Limits(stop={stop}))"
    with piped([sys.executable, "lives.py", str(run_dir)], OPTIONS=options) as said:
        said.fill()
        said.popen.send_signal(signal.SIGUSR1)
        yield said


@pytest.mark.skipif(bool(why_no_terminal()), reason=why_no_terminal())
def test_ctrl_s_at_the_terminal_holds_the_log_and_not_the_gateway(run_dir: Path) -> None:
    port = free_port()
    words = ("run", "echo_app:app", "--run-dir", run_dir / "run", "--bind", f"127.0.0.1:{port}", *BUDGETS)
    with terminal(PROGRAMS) as term:
        term.enter(*gateway_argv(*words))
        term.hears("serving: ")
        term.type("\x13")
        assert answers(port)
        assert gateway("stop", "--run-dir", run_dir / "run", limit=20).returncode == 0
