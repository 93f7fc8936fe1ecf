"""status, stop and restart against gateways that answer late, oddly or not at all."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from http_tools import in_background
from speaking import environment, gateway

from gatewaylock.control.client import ProtocolError, talk
from gatewaylock.core.deadline import Deadline
from gatewaylock.core.errors import NotRunningError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
YES = {"v": 1, "ok": True, "text": "yes"}


@contextmanager
def saying(run_dir: Path, *conversations: list[object]) -> Iterator[None]:
    """A gateway that says these lines to one client after the other, then ends the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(run_dir / "gateway.sock"))
        listener.listen()

        def serve() -> None:
            for lines in conversations:
                connection, _ = listener.accept()
                with connection, suppress(BrokenPipeError):
                    connection.recv(65536)
                    for line in lines:
                        connection.sendall(
                            line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                        )

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(10)


def test_a_gateway_that_does_not_answer_is_told_in_one_line(run_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(run_dir / "gateway.sock"))
        listener.listen()
        for verb in ("status", "stop", "restart"):
            done = gateway(verb, "--run-dir", run_dir, "--timeout", "0.1")
            assert done.returncode == 1
            assert done.stderr == 'gateway: error: gateway "gateway" has not answered within 0.1 s\n'


def test_a_socket_that_nobody_listens_at_is_not_running(run_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
        left_behind.bind(str(run_dir / "gateway.sock"))
    assert gateway("status", "--run-dir", run_dir).returncode == 3


def test_a_gateway_that_ends_instead_of_an_answer_has_stopped(run_dir: Path) -> None:
    """A second stop may reach it in its last moment: what was asked for is done, and is no failure."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(run_dir / "gateway.sock"))
        listener.listen()

        def end() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                listener.close()

        with in_background(end):
            done = gateway("stop", "--run-dir", run_dir)
    assert (done.returncode, done.stdout[:12]) == (0, "it has ended"), done.stderr


def test_asking_makes_no_run_directory(run_dir: Path) -> None:
    assert gateway("stop", "--run-dir", run_dir / "none").returncode == 3
    assert not (run_dir / "none").exists()


@pytest.mark.parametrize("verb", ["status", "stop", "restart"])
@pytest.mark.parametrize("answer", [b"hello\n", b"{}\n", b'{"v": 2, "ok": true}\n', b"x" * 2_000_000])
def test_an_answer_of_another_kind_is_told_in_one_line(run_dir: Path, verb: str, answer: bytes) -> None:
    with saying(run_dir, [answer]):
        done = gateway(verb, "--run-dir", run_dir)
        assert done.returncode == 1
        assert done.stderr.startswith("gateway: error: ") and done.stderr.count("\n") == 1


def test_who_is_cut_off_by_a_restart_asks_the_next_image(run_dir: Path) -> None:
    last = {"v": 1, "text": "life 2 serves", "done": "restart", "phase": "serving", "life": 2, "pid": 1}
    with saying(run_dir, [], [YES, last]):
        done = gateway("restart", "--run-dir", run_dir)
        assert (done.returncode, done.stdout) == (0, "life 2 serves\n")


def test_an_end_without_a_goodbye_is_told(run_dir: Path) -> None:
    with saying(run_dir, [YES]):
        done = gateway("stop", "--run-dir", run_dir)
        assert (done.returncode, done.stdout) == (0, "it has ended, without saying goodbye: see its log\n")
    (run_dir / "gateway.sock").unlink()
    with saying(run_dir, [YES]):
        done = gateway("restart", "--run-dir", run_dir)
        assert done.returncode == 1
        assert "has ended in its restart" in done.stderr


def test_what_a_gateway_says_cannot_steer_the_terminal(run_dir: Path) -> None:
    with saying(run_dir, [{"v": 1, "ok": False, "text": "no\x1b[31m\x9b0m\r"}]):
        done = gateway("restart", "--run-dir", run_dir)
        assert done.stderr == "gateway: error: no\\x1b[31m\\x9b0m\\r\n"


def test_a_full_stdout_is_told_in_one_line(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "fine.py").write_text("app = print")
    words = [sys.executable, "-m", "gatewaylock", "check", "fine:app"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(), timeout=30
        )
    assert done.returncode == 1
    assert done.stderr == "gateway: error: cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize("to", ["/dev/full", "nobody", "nothing"])
def test_a_stderr_that_takes_nothing_does_not_change_what_comes_of_a_restart(run_dir: Path, to: str) -> None:
    last = {"v": 1, "text": "life 2 serves", "done": "restart", "phase": "serving", "life": 2, "pid": 1}
    where = {"nobody": "2> >(exec true)", "nothing": "2>&-"}.get(to, f"2>{to}")
    words = shlex.join([sys.executable, "-m", "gatewaylock", "restart", "--run-dir", str(run_dir)])
    with saying(run_dir, [YES, last]):
        done = subprocess.run(
            ["bash", "-c", f"{words} {where}"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=30,
        )
    assert (done.returncode, done.stdout) == (0, "life 2 serves\n")


def test_a_time_that_no_clock_counts_is_no_limit_and_none_that_is_no_number(run_dir: Path) -> None:
    with saying(run_dir, [{**YES, "status": {}}]):
        assert "answered" not in gateway("quiet", "--run-dir", run_dir, "--timeout", "1e300").stderr
    done = gateway("quiet", "--run-dir", run_dir, "--timeout", "nan")
    assert (done.returncode, "invalid seconds value: 'nan'" in done.stderr) == (2, True)


@pytest.mark.parametrize("status", [5, {}, {"phase": "serving", "name": "gateway"}])
def test_what_says_something_else_than_its_status_keeps_nobody_off_the_list(
    run_dir: Path, status: object
) -> None:
    with saying(run_dir, [{**YES, "text": "", "status": status}]):
        done = gateway("list", "--run-dir", run_dir)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no answer" in done.stdout and "something else than its status" in done.stdout


@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_module_that_ends_the_process_has_not_loaded(run_dir: Path, tmp_path: Path, verb: str) -> None:
    (tmp_path / "quits.py").write_text("raise SystemExit(0)")
    more = ["--run-dir", str(run_dir), "--bind", "127.0.0.1:0"] if verb == "run" else []
    done = subprocess.run(
        [sys.executable, "-m", "gatewaylock", verb, "quits:app", *more],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=30,
    )
    assert done.returncode == 1
    assert "quits:app: ends the process while it loads (exit code 0)" in done.stderr


def test_status_brings_no_web_server_and_no_lock_library_along(run_dir: Path) -> None:
    program = (
        "import sys; from gatewaylock.cli import main; main(['status', '--run-dir', sys.argv[1]]);"
        "print({'waitress', 'portalocker', 'asyncio', 'subprocess', 'gatewaylock.gateway'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, run_dir],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=30,
    )
    assert done.stdout == "set()\n"


def test_a_deadline_that_has_passed_is_a_timeout(run_dir: Path) -> None:
    with saying(run_dir), pytest.raises(TimeoutError):
        talk(str(run_dir / "gateway.sock"), "gateway", Deadline.after(0))


def test_a_path_below_a_file_is_not_running(run_dir: Path) -> None:
    (run_dir / "file").touch()
    with pytest.raises(NotRunningError):
        talk(str(run_dir / "file" / "gateway.sock"), "gateway")


def test_what_is_no_socket_is_told(run_dir: Path) -> None:
    (run_dir / "gateway.sock").touch()
    with pytest.raises(ProtocolError, match="no socket of ours"):
        talk(str(run_dir / "gateway.sock"), "gateway")


@as_root
def test_root_may_ask_the_gateway_of_a_user_where_the_directory_is_theirs(run_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = str(run_dir / "gateway.sock")
        listener.bind(path)
        os.chown(path, 65534, 65534)
        listener.listen()
        with pytest.raises(ProtocolError, match="no socket of ours"):
            talk(path, "gateway")
        os.chown(run_dir, 65534, 65534)
        talk(path, "gateway")._connection.close()


@as_root
def test_a_user_cannot_pose_as_the_gateway_of_root(run_dir: Path) -> None:
    """A descriptor that root bound and gave away: the path is root's, who answers is not."""
    path = str(run_dir / "gateway.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        program = (
            "import os, socket, sys\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "s = socket.socket(fileno=int(sys.argv[1])); s.listen(); print('ready', flush=True); sys.stdin.read()"
        )
        posing = subprocess.Popen(
            [sys.executable, "-c", program, str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
        with posing:
            assert posing.stdout is not None and posing.stdout.readline() == b"ready\n"
            with pytest.raises(ProtocolError, match="another user answers there"):
                talk(path, "gateway")
            posing.kill()
