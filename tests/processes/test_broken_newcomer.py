"""A new version that is broken costs nothing: the old one serves on, the requester hears why, the next one works."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from http_tools import Hammer
from speaking import PROGRAMS, Program, eventually, gateway, gateway_argv, started
from torture import pids

FRESH = ["spawn", "overlap"]
EVERY = ["exec", *FRESH]
VERSION = """
import os, sys, threading
from pathlib import Path
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


class Deployment:
    """A directory with a version in it, a gateway that serves it, and clients that ask all the time."""

    def __init__(self, where: Path, run_dir: Path, said: Program) -> None:
        self.where, self.run_dir, self.said = where, run_dir, said

    def plan(self, when: str, code: str) -> None:
        (self.where / when).write_text(code)

    def fix(self) -> None:
        for when in ("at import", "at start"):
            (self.where / when).unlink(missing_ok=True)
        (self.where / "version.py").write_text(VERSION.format(programs=str(PROGRAMS)))

    def restart(self) -> subprocess.CompletedProcess[str]:
        return gateway("restart", "--run-dir", self.run_dir)

    def is_refused(self, *why: str) -> None:
        done = self.restart()
        assert done.returncode == 1, done.stdout
        assert any(reason in done.stderr for reason in why), done.stderr
        assert " is serving" in gateway("status", "--run-dir", self.run_dir).stdout
        assert self.said.popen.poll() is None

    def works_when_fixed(self) -> None:
        self.fix()
        done = self.restart()
        assert " serves (pid " in done.stdout, done.stderr


@contextmanager
def deployed(
    run_dir: Path, where: Path, mode: str, *, dies: bool = False, **env: str
) -> Iterator[Deployment]:
    """*dies*: the new version is killed while it serves, and what it had accepted with it."""
    argv = gateway_argv("run", "version:start", "--factory", "--run-dir", run_dir, "--restart-mode", mode)
    (where / "version.py").write_text(VERSION.format(programs=str(PROGRAMS)))
    quick = ("--preflight-timeout", "3", "--start-timeout", "3", "--probation", "0.6", "--allow-sigusr1")
    with started(*argv, *quick, cwd=where, **env) as said:
        port = int(said.hears(r"address=127.0.0.1:(\d+)")[1])
        try:
            with Hammer(("127.0.0.1", port), fresh=2, kept=2, paths=("/", "/slow")) as clients:
                yield Deployment(where, run_dir, said)
            assert dies or clients.lost() == {}
            assert all("closed under it" in how or "Reset" in how for how in clients.lost())
            assert clients.ended["right"] > 4
            assert gateway("stop", "--run-dir", run_dir).returncode == 0
            assert eventually(lambda: not pids(run_dir)), "somebody is left"
        finally:
            for pid in pids(run_dir):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("mode", EVERY)
@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise OSError('no database')", ["no database"]),
        ("this is no Python", ["SyntaxError"]),
        ("os._exit(0)", ["exit code 0 before it was loaded", "ended before it was loaded"]),
        ("os.kill(os.getpid(), 9)", ["exit code -9", "ended before it was loaded"]),
        ("threading.Event().wait()", ["not loaded in time"]),
    ],
    ids=["raises", "syntax error", "exits 0", "kills itself", "hangs"],
)
def test_a_version_that_does_not_load_is_refused(
    run_dir: Path, tmp_path: Path, mode: str, code: str, why: list[str]
) -> None:
    with deployed(run_dir, tmp_path, mode) as version:
        version.plan("at import", code)
        version.is_refused(*why)
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
        done = version.restart()
        assert done.returncode == 1 and "no database" in done.stderr
        assert " is parked" in gateway("status", "--run-dir", run_dir).stdout
        version.works_when_fixed()


@pytest.mark.parametrize("mode", FRESH)
def test_a_port_stolen_meanwhile_is_told(run_dir: Path, tmp_path: Path, mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as thief, deployed(run_dir, tmp_path, mode) as version:
        port = thief.getsockname()[1]
        version.plan("at start", f"gateway.listen('127.0.0.1', {port})")
        version.is_refused(f"already listening on 127.0.0.1:{port}")
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_a_run_directory_that_is_no_longer_private_refuses_every_restart(
    run_dir: Path, tmp_path: Path, mode: str
) -> None:
    with deployed(run_dir, tmp_path, mode) as version:
        run_dir.chmod(0o777)
        version.is_refused("others can write to it", "ended before it was loaded")
        run_dir.chmod(0o700)
        version.works_when_fixed()


@pytest.mark.parametrize("mode", EVERY)
def test_an_environment_too_large_for_a_new_process_is_told(run_dir: Path, tmp_path: Path, mode: str) -> None:
    large = {f"LARGE_{number}": "x" * 100_000 for number in range(3)}
    with deployed(run_dir, tmp_path, mode, **large) as version:
        limits = resource.prlimit(version.said.pid, resource.RLIMIT_STACK)
        resource.prlimit(version.said.pid, resource.RLIMIT_STACK, (256 * 1024, limits[1]))
        version.is_refused("Argument list too long")
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


@pytest.mark.parametrize("mode", FRESH)
def test_a_full_disk_under_the_run_directory_costs_no_restart(
    run_dir: Path, tmp_path: Path, mode: str
) -> None:
    """The lock file then keeps telling the old pid; it decides nothing, and the log says so."""
    disk = run_dir / "disk"
    disk.mkdir(mode=0o700)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", disk]).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        disk.chmod(0o700)
        with deployed(disk, tmp_path, mode) as version:
            lock = disk / "gateway.lock"
            lock.write_text("")
            with (disk / "filler").open("wb", buffering=0) as filler:
                while True:
                    try:
                        filler.write(b"x" * 512)
                    except OSError:
                        break
            version.works_when_fixed()
            version.said.hears("lock file .*No space left on device")
            (disk / "filler").unlink()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
