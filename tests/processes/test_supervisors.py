"""Real parents, real namespaces, a real terminal: who watches is seen, and a stop ends before the kill."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from speaking import PROGRAMS, environment, eventually, gateway, gateway_argv, started

from gatewaylock.core.deadline import Deadline

ASK = [sys.executable, str(PROGRAMS / "watched.py")]
QUOTED = shlex.join(ASK)
#: becomes the leader of the terminal that is its stdin, and then the rest of its words
ON_TERMINAL = "import fcntl, os, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nos.execvp(sys.argv[1], sys.argv[1:])"
UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def can_unshare() -> bool:
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(
    shutil.which("unshare") is None or not can_unshare(), reason="no pid namespace can be made here"
)


def says(*argv: str, **env: str) -> str:
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=30, env=environment(**env), start_new_session=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("called", "name", "why"),
    [
        ("supervisord", "supervisord", "a supervisor"),
        ("circusd", "circus", "a supervisor"),
        ("monit", "monit", "a supervisor"),
        ("runsv", "runit", "a supervisor"),
        ("s6-supervise", "s6", "a supervisor"),
        ("supervise", "daemontools", "a supervisor"),
        ("tini", "container", "pid 1"),
        ("docker-init", "container", "pid 1"),
        ("dash", "script", "a supervisor"),
    ],
)
def test_a_parent_is_known_by_its_name(tmp_path: Path, called: str, name: str, why: str) -> None:
    """A shell that is called like it."""
    parent = tmp_path / called
    parent.symlink_to("/bin/sh")
    said = says(str(parent), "-c", f"{QUOTED}; true")
    assert said.startswith(f"{name}: ") and f"spawn: {why}: " in said


def test_a_supervisor_written_in_python_is_known_by_its_script(tmp_path: Path) -> None:
    script = tmp_path / "supervisord"
    script.write_text(f"import subprocess\nsubprocess.run({ASK!r})\n")
    assert says(sys.executable, str(script)).startswith("supervisord: ")


@pytest.mark.parametrize("program", ["tini", "dumb-init", "catatonit"])
def test_a_real_init_is_known(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    options = ["-s"] if program == "tini" else []
    assert says(program, *options, "--", *ASK).startswith(f"container: {program} started it")


def test_systemd_is_proved_by_our_pid_and_by_nothing_that_was_inherited() -> None:
    lies = {"INVOCATION_ID": "1", "NOTIFY_SOCKET": "/nowhere", "SYSTEMD_EXEC_PID": "1"}
    assert says(*ASK, **lies).startswith("none: ")
    said = says("sh", "-c", f"SYSTEMD_EXEC_PID=$$ exec {QUOTED}", **lies)
    assert said.startswith("systemd: SYSTEMD_EXEC_PID is its pid; spawn: fresh"), (
        "it can be told of the next pid"
    )
    said = says("sh", "-c", f"unset NOTIFY_SOCKET; SYSTEMD_EXEC_PID=$$ exec {QUOTED}", **lies)
    assert said.startswith("systemd: SYSTEMD_EXEC_PID is its pid; spawn: systemd: ")
    said = says("sh", "-c", f"SYSTEMD_EXEC_PID=$$ {QUOTED}; true", **lies)
    assert said.startswith("systemd: SYSTEMD_EXEC_PID is the pid of ")


@needs_namespaces
@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (ASK, {}, "container: it is pid 1; spawn: pid 1: the container would end with it"),
        (
            ASK,
            {"KUBERNETES_SERVICE_HOST": "::1"},
            "kubernetes: it is pid 1, and KUBERNETES_SERVICE_HOST is set",
        ),
        (["sh", "-c", f"{QUOTED}; true"], {}, "container: pid 1 is a shell, sh, that started it"),
    ],
)
def test_pid_1_is_a_container(words: list[str], env: dict[str, str], said: str) -> None:
    assert says(*UNSHARE, *words, **env).startswith(said)


def test_the_foreground_of_a_terminal_is_seen_although_stdin_is_elsewhere() -> None:
    leader, terminal = os.openpty()
    try:
        argv = [sys.executable, "-c", ON_TERMINAL, "sh", "-c", f"exec {QUOTED} </dev/null"]
        with subprocess.Popen(
            argv, stdin=terminal, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True
        ) as child:
            said, _ = child.communicate(timeout=30)
    finally:
        os.close(leader)
        os.close(terminal)
    assert said.startswith("terminal: it is in the foreground of a terminal; spawn: a terminal: ")


BUSY = """
import threading
class Server:
    def close(self, reason, *, restart_expected_ms):
        threading.Event().wait()          # hangs for ever
def start(gateway):
    return Server()
"""


def busy(tmp_path: Path, run_dir: Path, *words: str) -> list[str]:
    (tmp_path / "busy.py").write_text(BUSY)
    return gateway_argv("run", "busy:start", "--factory", "--run-dir", run_dir, *words)


def test_a_stop_and_a_restart_that_it_overtakes_end_before_the_kill(run_dir: Path, tmp_path: Path) -> None:
    """They would take a minute, and we are killed after 4 seconds; their servers hang as they close."""
    kills_after = 4.0
    words = ["--stop-timeout", "60", "--shutdown-timeout", "300", "--restart-mode", "in-process"]
    stops = busy(tmp_path, run_dir, *words, "--supervisor-timeout", f"{kills_after}")
    restarts = busy(tmp_path, run_dir, *words, "--name", "other", "--allow-sigusr1")
    told = {"GATEWAY_SUPERVISOR_TIMEOUT": f"{kills_after}"}
    with started(*stops, cwd=tmp_path) as one, started(*restarts, cwd=tmp_path, **told) as other:
        one.hears(r"WARNING .* 60 s, but .* 4 s .*--supervisor-timeout.*cut to 3 s; .* 65 s")
        one.hears("serving")
        other.hears("serving")
        other.signal(signal.SIGUSR1)
        other.hears("restarting")
        for said in (one, other):
            said.signal(signal.SIGTERM)
        kill = Deadline.after(kills_after)
        for said in (one, other):
            try:
                said.popen.wait(kill.left())
            except subprocess.TimeoutExpired:
                said.popen.kill()
            assert said.ends() == 0, said.text()
            said.hears("shutdown timed out")


def test_supervisord_s_default_is_taken_where_supervisord_is_the_parent(
    run_dir: Path, tmp_path: Path
) -> None:
    parent = tmp_path / "supervisord"
    parent.symlink_to("/bin/sh")
    argv = busy(tmp_path, run_dir, "--stop-timeout", "30", "--restart-mode", "spawn")
    with started(parent, "-c", f"{shlex.join(argv)}; true", cwd=tmp_path) as said:
        said.hears("INFO .*supervisor: supervisord: supervisord started it")
        said.hears("WARNING .*no spawn restarts here .a supervisor: ")
        said.hears(
            "WARNING .*10 s .*stopwaitsecs of supervisord, as it comes.*cut to 7.5 s.*--supervisor-timeout"
        )
        said.hears("serving")
        asked = gateway("restart", "--mode", "overlap", "--run-dir", run_dir, "--no-wait")
        assert asked.stdout.startswith(
            "restarting by exec: no overlap here (a supervisor: it watches this pid"
        )


def test_the_lame_duck_is_what_the_supervisor_s_answer_has_left_of_it(run_dir: Path, tmp_path: Path) -> None:
    parent = tmp_path / "s6-supervise"
    parent.symlink_to("/bin/sh")
    (tmp_path / "timeout-kill").write_text("3000")
    words = ("--stop-timeout", "2", "--lame-duck", "20", "--bind", "127.0.0.1:0", "--run-dir", run_dir)
    with started(parent, "-c", f"{shlex.join(gateway_argv('run', *words))}; true", cwd=tmp_path) as said:
        pid = int(said.hears(r"serving: name=gateway pid=(\d+)")[1])
        assert eventually(lambda: "cut to 2.25 s with 0.25 s of lame duck" in said.text()), said.text()
        os.kill(pid, signal.SIGTERM)
        said.hears(r"new work is still taken for 0\.25 s")
        assert said.ends() == 0


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """One that is called like a unit; root alone can make it."""
    roots = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]
    found = [root for root in roots if (root / "cgroup.controllers").exists()]
    path = (found or roots)[0] / f"gw-test-{os.getpid()}.service"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    yield path
    assert eventually(lambda: not (path / "cgroup.procs").read_text())
    path.rmdir()


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("echo LoadState=loaded; echo TimeoutStopUSec=40s", r"40 s .*TimeoutStopSec= of UNIT.*cut to 35 s"),
        ("exec sleep 60", r"90 s .*TimeoutStopSec= of systemd, as it comes.*cut to 85 s"),
    ],
)
def test_systemd_is_asked_and_no_start_depends_on_its_answer(
    run_dir: Path, tmp_path: Path, cgroup: Path, does: str, says: str
) -> None:
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / "systemctl").chmod(0o755)
    argv = shlex.join(busy(tmp_path, run_dir, "--stop-timeout", "300"))
    enter = f"echo $$ >{cgroup}/cgroup.procs; SYSTEMD_EXEC_PID=$$ exec {argv}"
    with started("sh", "-c", enter, cwd=tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}") as said:
        said.hears("supervisor: systemd: ")
        pattern = re.compile("WARNING .*" + says.replace("UNIT", cgroup.name))
        assert eventually(lambda: pattern.search(said.text()) and "serving" in said.text()), said.text()
        assert ("does not tell" in said.text()) is ("sleep" in does)
