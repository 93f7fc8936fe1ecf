"""No request is lost: none refused, reset, empty, cut, wrong, or on a connection closed under it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from http_tools import Hammer
from speaking import PROGRAMS, gateway, gateway_argv, started

PATHS = ("/", "/fast", "/slow")


@pytest.mark.parametrize("mode", ["exec", "spawn", "overlap", "in-process"])
def test_7_restarts_under_load_lose_no_request(run_dir: Path, mode: str) -> None:
    words = gateway_argv("run", "echo_app:app", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    with started(*words, "--restart-mode", mode, "--probation", "0.2", cwd=PROGRAMS) as said:
        port = int(said.hears(r"address=127.0.0.1:(\d+)")[1])
        try:
            with Hammer(("127.0.0.1", port), fresh=4, kept=4, paths=PATHS) as clients:
                for life in range(2, 9):
                    done = gateway("restart", "--run-dir", run_dir)
                    found = re.search(rf"life {life} serves \(pid (\d+)\)", done.stdout)
                    assert found, done.stderr
                    assert (int(found[1]) == said.pid) == (mode in ("exec", "in-process"))
            assert clients.lost() == {}
            assert clients.ended["right"] >= 100
        finally:
            assert gateway("stop", "--run-dir", run_dir).returncode == 0
        assert said.ends() == 0
