"""Bad input gets one clear line and the right exit code, and changes nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from speaking import ROOT, environment, eventually, gateway, gateway_argv, started


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What it complained about, if that was one line of ours."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("gateway: error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nosuchmodule_:app"], 78, "no module named 'nosuchmodule_'"),
        (["os:nosuchthing"], 78, "os has no 'nosuchthing'"),
        (["os:sep"], 78, "not a WSGI application"),
        (["os"], 78, "MODULE:ATTR is needed"),
        (["--drain-timeout", "-1"], 78, "limit drain"),
        (["--stop-timeout", "nan"], 78, "limit stop"),
        (["--stop-timeout", "0"], 78, "limit stop"),
        (["--shutdown-timeout", "1e9"], 78, "limit shutdown"),
        (["--threads", "0"], 78, "--threads 0"),
        (["--name", "../x"], 78, "name '../x'"),
        (["--bind", "127.0.0.1"], 2, "HOST:PORT"),
        (["--bind", "127.0.0.1:70000"], 2, "ports up to 65535"),
        (["--bind", "unix:/tmp/" + "x" * 120], 78, "107"),
        (["--bind", "no.such.host.invalid:80"], 78, "cannot listen on no.such.host.invalid:80"),
        (["--restart-mode", "magic"], 2, "invalid choice"),
        (["--nonsense"], 2, "unrecognized arguments"),
        (["--stop-timeout", "soon"], 2, "invalid float"),
    ],
)
def test_a_wrong_word_is_told_in_one_line(run_dir: Path, words: list[str], code: int, says: str) -> None:
    done = gateway("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", *words)
    assert done.returncode == code, done.stderr
    if code == 2:
        assert says in done.stderr.splitlines()[-1]
    else:
        assert says in one_line(done)
    assert not list(run_dir.glob("*.sock"))


def test_a_port_that_another_gateway_has_is_told(run_dir: Path) -> None:
    with started(*gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")) as first:
        address = first.hears(r"address=(\S+)")[1]
        done = gateway("run", "--run-dir", run_dir, "--name", "second", "--bind", address)
        assert done.returncode == 78
        assert f"another gateway instance is already listening on {address}" in one_line(done)


def test_a_port_that_another_program_has_is_told(run_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = gateway("run", "--run-dir", run_dir, "--bind", address)
    assert done.returncode == 78
    assert f"already listening on {address}" in one_line(done)


def test_a_name_that_is_taken_is_told_with_the_holder_and_harms_it_not(run_dir: Path) -> None:
    with started(*gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")) as first:
        first.hears("serving")
        done = gateway("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--lock-timeout", "0.1")
        assert done.returncode == 78
        text = f"gateway already running (pid {first.pid}); lock timeout after 100ms: held for "
        assert text in one_line(done)
        assert gateway("status", "--run-dir", run_dir).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_privileged_port_is_told(run_dir: Path) -> None:
    """As a user without privileges; where the kernel lets everybody have port 1 there is nothing to tell."""
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
        pytest.skip("no port is privileged here")
    program = (
        "import os, socket, encodings.idna; from gatewaylock.system.host import Host;"
        "from gatewaylock.system.listeners import Listeners; os.setgid(65534); os.setuid(65534);"
        "Listeners(Host()).tcp('127.0.0.1', 1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), cwd=ROOT
    )
    assert "ports below 1024 need privileges" in done.stderr


@pytest.mark.parametrize("fault", ["world-writable", "symlink", "file", "foreign", "too deep"])
def test_a_run_directory_that_cannot_be_trusted_is_told(run_dir: Path, fault: str) -> None:
    where = run_dir / "r"
    if fault == "world-writable":
        where.mkdir()
        where.chmod(0o777)
    elif fault == "symlink":
        (run_dir / "real").mkdir(0o700)
        where.symlink_to("real")
    elif fault == "file":
        where.touch()
    elif fault == "foreign":
        if os.geteuid():
            pytest.skip("only root can give a directory away")
        where.mkdir(0o700)
        os.chown(where, 65534, 65534)
    else:
        where = run_dir / ("x" * 90)
    done = gateway("run", "--run-dir", where, "--bind", "127.0.0.1:0")
    assert done.returncode == 78
    assert "run directory" in one_line(done)


def test_a_full_disk_is_told_and_leaves_the_name_free(run_dir: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can mount a small disk")
    inside = f"""
mount -t tmpfs -o size=4k,nr_inodes=16 small {run_dir} || exit 99
mkdir -m 700 {run_dir}/r && dd if=/dev/zero of={run_dir}/filler bs=4k count=1 status=none
{sys.executable} -m gatewaylock run --run-dir {run_dir}/r --bind 127.0.0.1:0
echo code $?; rm {run_dir}/filler
timeout 10 {sys.executable} -c "from gatewaylock import GatewayLock as L; L('gateway', run_dir='{run_dir}/r').acquire(0)"
echo free $?"""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr}")
    assert "No space left on device" in one_line(done)
    assert done.stdout.split() == ["code", "78", "free", "0"]


def test_what_the_start_of_an_application_raises_is_shown_with_exit_1(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "broken_app.py").write_text("raise OSError('no database')")
    with started(*gateway_argv("run", "broken_app:app", "--run-dir", run_dir), cwd=tmp_path) as said:
        said.hears("Traceback")
        said.hears("gateway: error: OSError: no database")
        assert said.ends() == 1


def test_a_failed_start_that_left_a_thread_behind_still_ends(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "stuck_app.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\nraise OSError('no')"
    )
    words = gateway_argv("run", "stuck_app:app", "--run-dir", run_dir, "--shutdown-timeout", "0.3")
    with started(*words, cwd=tmp_path) as said:
        said.hears("gateway: error: OSError: no")
        assert said.ends() == 1


@pytest.mark.parametrize("verb", ["status", "stop", "restart"])
def test_no_gateway_of_that_name_is_exit_3(run_dir: Path, verb: str) -> None:
    done = gateway(verb, "--run-dir", run_dir, "--name", "nobody")
    assert done.returncode == 3
    assert 'no gateway "nobody" is running' in one_line(done)
    assert not list(run_dir.iterdir())


def test_a_closed_stdout_and_stderr_are_no_error(run_dir: Path) -> None:
    with started(*gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")) as first:
        first.hears("serving")
        shell = f"{sys.executable} -m gatewaylock status --run-dir {run_dir}"
        for redirect in ("| true", ">&-", "2>&-"):
            done = subprocess.run(
                ["sh", "-c", f"{shell} {redirect}"],
                capture_output=True,
                text=True,
                env=environment(),
                timeout=20,
            )
            assert "Traceback" not in done.stderr


def test_closed_descriptors_do_not_become_the_lock_or_a_listener(run_dir: Path) -> None:
    command = f"exec {sys.executable} -m gatewaylock run --run-dir {run_dir} --bind 127.0.0.1:0 <&- >&- 2>&-"
    with started("sh", "-c", command) as said:
        path = f"/proc/{said.pid}/fd"
        assert eventually(lambda: gateway("status", "--run-dir", run_dir).returncode == 0)
        assert {os.readlink(f"{path}/{fd}") for fd in range(3)} == {os.devnull}
        assert gateway("stop", "--run-dir", run_dir).returncode == 0


@pytest.mark.parametrize("verb", [[], ["run"], ["check"], ["status"], ["stop"], ["restart"]])
def test_help_names_every_exit_code_it_can_end_with(verb: list[str]) -> None:
    done = gateway(*verb, "--help")
    assert done.returncode == 0
    assert not verb or "exit codes:" in done.stdout


def test_a_history_of_garbage_keeps_nobody_from_starting_and_from_looking(run_dir: Path) -> None:
    """It decides how long a start waits after young deaths: no line in it may decide that there is none."""
    lines = [
        b"[" * 100_000,
        b'{"event": "start", "at": ' + b"1" * 400 + b', "pid": 7, "started": 3}',
        b'{"event": "end", "at": 1, "left": 5, "pid": 7, "started": 3}',
        b'{"event": "outcome", "at": 1, "account": {"tasks": 1, "left": 5, "took": "long"}}',
        b'{"event": "begin", "at": 1e300, "pid": 7, "started": 3}',
        bytes(range(256)),
    ]
    (run_dir / "gateway.history").write_bytes(b"\n".join(lines) + b"\n")
    (run_dir / "gateway.history").chmod(0o600)
    with started(*gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")) as said:
        said.hears("address=")
        for verb in ("status", "history", "stop", "history"):
            done = gateway(verb, "--run-dir", run_dir)
            assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        assert said.ends() == 0
