"""What ``gateway unit`` prints, under the real supervisors, where they are at hand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from speaking import Program, environment, eventually, gateway, started

Words = list[str | Path]


class Real(NamedTuple):
    """A supervisor that runs one service from *where*."""

    needs: tuple[str, ...]
    lay: Callable[[Path, str], None]
    start: Callable[[Path], Words]
    state: Callable[[Path], Words]
    #: what the state looks like when it will not be started again by itself
    at_rest: str
    up: Callable[[Path], Words]
    down: Callable[[Path], Words]


def lay_script(where: Path, text: str) -> None:
    (where / "run").write_text(text)
    (where / "run").chmod(0o755)
    (where / "finish").symlink_to("run")


def lay_section(where: Path, text: str) -> None:
    control = f"[unix_http_server]\nfile={where}/s\n[supervisorctl]\nserverurl=unix://{where}/s\n"
    factory = "supervisor.rpcinterface:make_main_rpcinterface"
    control += f"[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = {factory}\n"
    main = f"[supervisord]\nlogfile={where}/log\npidfile={where}/pid\n"
    text = text.replace("redirect_stderr=true", "stderr_logfile=/dev/stdout\nstderr_logfile_maxbytes=0")
    (where / "conf").write_text(control + main + text)


def ctl(*words: str) -> Callable[[Path], Words]:
    return lambda where: [VENV / "supervisorctl", "-c", where / "conf", *words]


VENV = Path(sys.executable).parent
REAL = {
    "runit": Real(
        needs=("runsv", "sv"),
        lay=lay_script,
        start=lambda where: ["runsv", where],
        state=lambda where: ["sv", "status", where],
        at_rest=r"down: \S+: \d+s, normally up$",
        up=lambda where: ["sv", "up", where],
        down=lambda where: ["sv", "-w", "20", "down", where],
    ),
    "s6": Real(
        needs=("s6-supervise", "s6-svc", "s6-svstat"),
        lay=lay_script,
        start=lambda where: ["s6-supervise", where],
        state=lambda where: ["s6-svstat", where],
        at_rest=r"down \(exitcode 78\) \d+ seconds, normally up",
        up=lambda where: ["s6-svc", "-u", where],
        down=lambda where: ["s6-svc", "-wD", "-T", "20000", "-d", where],
    ),
    "supervisord": Real(
        needs=(str(VENV / "supervisord"),),
        lay=lay_section,
        start=lambda where: [VENV / "supervisord", "-n", "-c", where / "conf"],
        state=ctl("status", "gateway"),
        at_rest=r"EXITED",
        up=ctl("start", "gateway"),
        down=ctl("stop", "gateway"),
    ),
}


def told(words: Words) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=30, env=environment()
    )
    return done.stdout + done.stderr


@contextmanager
def supervised(kind: str, where: Path, *words: str | Path) -> Iterator[Program]:
    real = REAL[kind]
    if missing := [program for program in real.needs if shutil.which(program) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    printed = gateway("unit", kind, "--", *words)
    assert printed.returncode == 0, printed.stderr
    real.lay(where, printed.stdout)
    with started(*real.start(where)) as said:
        try:
            yield said
        finally:
            told(real.down(where))


@pytest.mark.parametrize("kind", REAL)
def test_a_second_one_is_tried_once_and_a_stop_drains(kind: str, run_dir: Path) -> None:
    """78 is not tried again; when the name is free it can be started, and serves, restarts and stops."""
    real, where = REAL[kind], run_dir / "service"
    where.mkdir()
    words: Words = ["--run-dir", run_dir / "run", "--bind", "127.0.0.1:0"]
    with started(sys.executable, "-m", "gatewaylock", "run", *words) as first:
        first.hears("serving")
        # Supervisord takes one that ends within a second for one that did not start, and tries 3 times.
        patience = "1.2" if kind == "supervisord" else "0"
        with supervised(kind, where, *words, "--lock-timeout", patience) as said:
            said.hears("gateway already running")
            assert eventually(lambda: re.search(real.at_rest, told(real.state(where)), re.M)), told(
                real.state(where)
            )
            assert said.text().count("already running") == 1
            assert gateway("stop", "--run-dir", run_dir / "run").returncode == 0
            told(real.up(where))
            said.hears(f"supervisor: {kind}: ")
            said.hears("serving")
            assert "life 2 serves" in gateway("restart", "--run-dir", run_dir / "run").stdout
            told(real.down(where))
            said.hears("shutting down")
            assert gateway("status", "--run-dir", run_dir / "run").returncode == 3
