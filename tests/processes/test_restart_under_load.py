"""No request is lost: none refused, reset, empty, cut, wrong, or on a connection closed under it."""

from __future__ import annotations

from pathlib import Path

import pytest
from http_tools import Hammer
from speaking import PROGRAMS, gateway, gateway_argv, started

PATHS = ("/", "/fast", "/slow")


@pytest.mark.parametrize("mode", ["exec", "in-process"])
def test_20_restarts_under_load_lose_no_request(run_dir: Path, mode: str) -> None:
    words = gateway_argv(
        "run", "echo_app:app", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--restart-mode", mode
    )
    with started(*words, cwd=PROGRAMS) as said:
        port = int(said.hears(r"address=127.0.0.1:(\d+)")[1])
        with Hammer(("127.0.0.1", port), fresh=4, kept=4, paths=PATHS) as clients:
            for life in range(2, 22):
                done = gateway("restart", "--run-dir", run_dir)
                assert f"life {life} serves (pid {said.pid})" in done.stdout, done.stderr
        assert clients.lost() == {}
        assert clients.ended["right"] >= 100
        assert gateway("stop", "--run-dir", run_dir).returncode == 0
        assert said.ends() == 0


def test_the_name_is_never_free_during_exec_restarts(run_dir: Path) -> None:
    """Another gateway waits for the name all the while: the kernel would give it to it at once."""
    words = gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    with started(*words) as first:
        first.hears("serving")
        with started(*words, "--lock-timeout", "300") as waiting:
            for _ in range(10):
                assert gateway("restart", "--run-dir", run_dir).returncode == 0
            assert waiting.lines == []
            first.popen.kill()
            waiting.hears("serving")
