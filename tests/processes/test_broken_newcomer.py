"""A new version that is broken costs nothing: the old one serves on, the requester hears why, the next one works."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import portalocker
import pytest
from http_tools import Hammer
from speaking import PROGRAMS, ROOT, Program, eventually, gateway, gateway_argv, started
from torture import is_free, pids

FRESH = ["spawn", "overlap"]
EVERY = ["exec", *FRESH]
VERSION = """
import os, sys, threading
from pathlib import Path
from typing import Any
sys.path.insert(0, {programs!r})
from echo_app import app
from gatewaylock.serve import serve

def plan(when):
    file = Path(__file__).with_name(when)
    return file.read_text() if file.exists() else ""

exec(plan("at import"))
START = plan("at start")  # of this version, whatever the file says later

def start(gateway):
    exec(START, {{"gateway": gateway, "os": os, "threading": threading}})
    return serve(gateway, app, [gateway.listen("127.0.0.1", 0)])
"""
HALF_CLOSED = """
from gatewaylock.serve.server import WSGIServer
close = WSGIServer.close
def fails(self, reason, *, restart_expected_ms):
    close(self, reason, restart_expected_ms=restart_expected_ms)
    raise OSError("half closed")
WSGIServer.close = fails
"""


class Deployment:
    """A directory with a version in it, and a gateway that serves it."""

    def __init__(self, where: Path, run_dir: Path, said: Program, port: int) -> None:
        self.where, self.run_dir, self.said, self.port = where, run_dir, said, port

    def plan(self, when: str, code: str) -> None:
        (self.where / when).write_text(code)

    def fix(self) -> None:
        for when in ("at import", "at start"):
            (self.where / when).unlink(missing_ok=True)
        (self.where / "version.py").write_text(VERSION.format(programs=str(PROGRAMS)))

    def restart(self) -> subprocess.CompletedProcess[str]:
        return gateway("restart", "--run-dir", self.run_dir)

    def is_refused(self, *why: str, then: str = "serving") -> None:
        done = self.restart()
        assert done.returncode == 1, done.stdout
        assert any(reason in done.stderr for reason in why), done.stderr
        assert f" is {then}" in gateway("status", "--run-dir", self.run_dir).stdout
        assert self.said.popen.poll() is None

    def works_when_fixed(self) -> None:
        self.fix()
        done = self.restart()
        assert " serves (pid " in done.stdout, done.stderr


@contextmanager
def running(
    run_dir: Path, where: Path, mode: str, *, python: str | Path = sys.executable, **env: str
) -> Iterator[Deployment]:
    """Nobody asks it for anything yet; all its successors are killed at the end."""
    words = gateway_argv("run", "version:start", "--factory", "--run-dir", run_dir, "--restart-mode", mode)
    (where / "version.py").write_text(VERSION.format(programs=str(PROGRAMS)))
    quick = ("--preflight-timeout", "2", "--start-timeout", "3", "--probation", "0.6", "--allow-sigusr1")
    with started(python, *words[1:], *quick, cwd=where, **env) as said:
        try:
            yield Deployment(where, run_dir, said, int(said.hears(r"address=127.0.0.1:(\d+)")[1]))
        finally:
            for pid in pids(run_dir):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@contextmanager
def deployed(
    run_dir: Path,
    where: Path,
    mode: str,
    *,
    dies: bool = False,
    python: str | Path = sys.executable,
    **env: str,
) -> Iterator[Deployment]:
    """Clients ask all the time.  *dies*: the new version is killed with requests that it has accepted."""
    with running(run_dir, where, mode, python=python, **env) as version:
        with Hammer(("127.0.0.1", version.port), fresh=2, kept=2, paths=("/", "/slow")) as clients:
            yield version
        assert dies or clients.lost() == {}
        assert all("closed under it" in how or "Reset" in how for how in clients.lost())
        assert clients.ended["right"] > 4
        assert gateway("stop", "--run-dir", run_dir).returncode == 0
        assert eventually(lambda: not pids(run_dir)), "somebody is left"


@contextmanager
def mounted(where: Path, *options: str) -> Iterator[None]:
    """*where*, as ``mount`` makes it with *options*."""
    if os.geteuid() or subprocess.run(["mount", *options, where]).returncode:
        pytest.skip("cannot mount here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", where], check=True)


@pytest.mark.parametrize("mode", EVERY)
@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise OSError('no database')", "no database"),
        ("this is no Python", "SyntaxError"),
        ("os._exit(0)", "exit code 0 before it was loaded"),
        ("os.kill(os.getpid(), 9)", "exit code -9"),
        ("threading.Event().wait()", "not loaded in time"),
    ],
    ids=["raises", "syntax error", "exits 0", "kills itself", "hangs"],
)
def test_a_version_that_does_not_load_is_refused(
    run_dir: Path, tmp_path: Path, mode: str, code: str, why: str
) -> None:
    with deployed(run_dir, tmp_path, mode) as version:
        version.plan("at import", code)
        version.is_refused(why)
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_a_version_that_is_gone_is_refused(run_dir: Path, tmp_path: Path, mode: str) -> None:
    with deployed(run_dir, tmp_path, mode) as version:
        (tmp_path / "version.py").unlink()
        version.is_refused("no module named 'version'")
        version.works_when_fixed()


@pytest.mark.parametrize("mode", FRESH)
@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise OSError('no database')", "no database"),
        ("os._exit(0)", "the successor ended"),
        ("threading.Event().wait()", "did not start within 3 s"),
    ],
    ids=["raises", "dies", "hangs"],
)
def test_a_successor_that_does_not_start_is_ended_and_the_old_process_serves(
    run_dir: Path, tmp_path: Path, mode: str, code: str, why: str
) -> None:
    with deployed(run_dir, tmp_path, mode) as version:
        version.plan("at start", code)
        version.is_refused(why)
        assert pids(run_dir) == [version.said.pid]
        version.works_when_fixed()


def test_a_successor_that_dies_on_probation_gives_the_admission_back(run_dir: Path, tmp_path: Path) -> None:
    with deployed(run_dir, tmp_path, "overlap", dies=True) as version:
        version.plan("at start", "import signal; threading.Timer(0.2, signal.raise_signal, (9,)).start()")
        done = version.restart()
        assert "the successor ended" in done.stderr and "life 1 still serves" in done.stderr
        version.works_when_fixed()


def test_an_exec_that_cannot_start_parks_and_loses_no_request_when_fixed(
    run_dir: Path, tmp_path: Path
) -> None:
    """exec cannot go back; but the listener stays, and who asks waits for the fix."""
    with deployed(run_dir, tmp_path, "exec") as version:
        version.plan("at start", "raise OSError('no database')")
        version.is_refused("no database", then="parked")
        version.works_when_fixed()


@pytest.mark.parametrize(
    ("code", "exit_code"), [("threading.Event().wait()", 1), ("os._exit(7)", 7)], ids=["hangs", "dies"]
)
def test_an_exec_that_never_comes_back_from_start_costs_the_gateway(
    run_dir: Path, tmp_path: Path, code: str, exit_code: int
) -> None:
    """What only spawn and overlap can take back: a supervisor is told by the exit code, the name is free."""
    with running(run_dir, tmp_path, "exec") as version:
        version.plan("at start", code)
        done = version.restart()
        assert (done.returncode, done.stdout) == (1, "")
        assert "the gateway has ended in its restart" in done.stderr
        assert version.said.ends() == exit_code
        assert is_free(run_dir)


@pytest.mark.parametrize("mode", EVERY)
def test_a_port_stolen_meanwhile_is_told(run_dir: Path, tmp_path: Path, mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief, deployed(run_dir, tmp_path, mode) as version:
        port = thief.getsockname()[1]
        version.plan("at start", f"gateway.listen('127.0.0.1', {port})")
        state = "parked" if mode == "exec" else "serving"
        version.is_refused(f"already listening on 127.0.0.1:{port}", then=state)
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_an_interpreter_that_is_gone_or_another_one_is_refused(
    run_dir: Path, tmp_path: Path, mode: str
) -> None:
    python, packages = tmp_path / "python", Path(portalocker.__path__[0]).parent
    python.symlink_to(sys.executable)
    with deployed(run_dir, tmp_path, mode, python=python, PYTHONPATH=f"{ROOT}:{packages}") as version:
        python.unlink()
        version.is_refused("No such file or directory")
        python.symlink_to("/bin/false")
        version.is_refused("exit code 1 before it was loaded", "ended without a word")
        python.unlink()
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # without our packages
        python.chmod(0o700)
        version.is_refused("No module named")
        python.unlink()
        python.symlink_to(sys.executable)
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_a_close_that_fails_is_followed_by_a_fresh_image(run_dir: Path, tmp_path: Path, mode: str) -> None:
    (tmp_path / "at start").write_text(HALF_CLOSED)
    with deployed(run_dir, tmp_path, mode) as version:
        version.works_when_fixed()
        version.said.hears("shutdown error: half closed")
        version.said.hears(f"full process restart .{'exec' if mode == 'exec' else 'spawned'}")
        version.works_when_fixed()
        assert version.said.text().count("shutdown error") == 1


def test_a_close_that_fails_before_a_successor_that_does_is_followed_by_a_fresh_image(
    run_dir: Path, tmp_path: Path
) -> None:
    """Back in the old process is no way: it is half closed.  Its next image cannot start either, and parks."""
    (tmp_path / "at start").write_text(HALF_CLOSED)
    with deployed(run_dir, tmp_path, "spawn") as version:
        version.plan("at start", "raise OSError('no database')")
        version.is_refused("no database", then="parked")
        version.said.hears("only a fresh process image may follow")
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_a_run_directory_that_is_no_longer_ours_alone_refuses_every_restart(
    run_dir: Path, tmp_path: Path, mode: str
) -> None:
    with deployed(run_dir, tmp_path, mode) as version:
        run_dir.chmod(0o777)
        version.is_refused("others can write to it")
        run_dir.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(run_dir, 65534, -1)
            version.is_refused("belongs to uid 65534")
            os.chown(run_dir, 0, -1)
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_a_run_directory_made_read_only_costs_no_restart(run_dir: Path, tmp_path: Path, mode: str) -> None:
    with deployed(run_dir, tmp_path, mode) as version, mounted(run_dir, "--bind", str(run_dir)):
        subprocess.run(["mount", "-o", "remount,bind,ro", run_dir], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (run_dir / "new").touch()
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_an_environment_too_large_for_a_new_process_is_told(run_dir: Path, tmp_path: Path, mode: str) -> None:
    large: dict[str, Any] = {f"LARGE_{number}": "x" * 100_000 for number in range(3)}
    with deployed(run_dir, tmp_path, mode, **large) as version:
        limits = resource.prlimit(version.said.pid, resource.RLIMIT_STACK)
        resource.prlimit(version.said.pid, resource.RLIMIT_STACK, (256 * 1024, limits[1]))
        version.is_refused("Argument list too long")
        resource.prlimit(version.said.pid, resource.RLIMIT_STACK, limits)
        version.works_when_fixed()


def test_an_exec_that_fails_without_a_proof_falls_back_in_process(run_dir: Path, tmp_path: Path) -> None:
    large: dict[str, Any] = {f"LARGE_{number}": "x" * 100_000 for number in range(3)}
    with deployed(run_dir, tmp_path, "exec", **large) as version:
        limits = resource.prlimit(version.said.pid, resource.RLIMIT_STACK)
        resource.prlimit(version.said.pid, resource.RLIMIT_STACK, (256 * 1024, limits[1]))
        assert "life 2 serves" in gateway("restart", "--force", "--run-dir", run_dir).stdout
        version.said.hears("full process restart failed .*too long.*; falling back to in-process restart")
        resource.prlimit(version.said.pid, resource.RLIMIT_STACK, limits)
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_out_of_descriptors_a_restart_is_refused_and_works_later(
    run_dir: Path, tmp_path: Path, mode: str
) -> None:
    with deployed(run_dir, tmp_path, mode) as version:
        pid = version.said.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (12, limits[1]))
        version.said.signal(signal.SIGUSR1)
        version.said.hears("restart refused, this gateway still serves: .*Too many open files")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_a_lock_file_deleted_meanwhile_costs_no_restart(run_dir: Path, tmp_path: Path, mode: str) -> None:
    with deployed(run_dir, tmp_path, mode) as version:
        (run_dir / "gateway.lock").unlink()
        version.works_when_fixed()
        assert not is_free(run_dir)


@pytest.mark.parametrize("mode", EVERY)
def test_a_full_disk_under_the_run_directory_costs_no_restart(
    run_dir: Path, tmp_path: Path, mode: str
) -> None:
    """The lock file then keeps telling the old pid; it decides nothing, and the log says so."""
    disk = run_dir / "disk"
    disk.mkdir(mode=0o700)
    small = mounted(disk, "-t", "tmpfs", "-o", "size=64k,mode=700", "small")
    with small, deployed(disk, tmp_path, mode) as version:
        (disk / "gateway.lock").write_text("")
        fill(disk / "filler")
        version.works_when_fixed()
        if mode in FRESH:
            version.said.hears("lock file .*No space left on device")
        (disk / "filler").unlink()


def fill(path: Path) -> None:
    """Leave no room on the disk."""
    with path.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"x" * 512)
