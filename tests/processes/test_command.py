"""``gateway`` as people use it, against real gateways."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.request import urlopen

import pytest
from speaking import ROOT, Program, environment, gateway, gateway_argv, started


def serve(
    run_dir: Path, *words: str | Path, cwd: Path | None = None, **env: str
) -> AbstractContextManager[Program]:
    return started(
        *gateway_argv("run", *words, "--run-dir", run_dir, "--bind", "127.0.0.1:0"), cwd=cwd, **env
    )


def status(run_dir: Path) -> dict[str, object]:
    done = gateway("status", "--json", "--run-dir", run_dir)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert isinstance(facts, dict)
    return facts


def application(where: Path, text: str = "") -> str:
    """A module of an application in *where*; its target."""
    (where / "myapp.py").write_text(
        text + "\ndef app(environ, start_response):\n    start_response('200 OK', []); return [b'hello']\n"
    )
    return "myapp:app"


def test_restart_waits_until_the_next_life_serves_and_says_so(run_dir: Path) -> None:
    with serve(run_dir) as said:
        said.hears("serving")
        done = gateway("restart", "--run-dir", run_dir, "--reason", "a test")
        assert done.returncode == 0, done.stderr
        assert f"life 2 serves (pid {said.pid})" in done.stdout
        assert (status(run_dir)["life"], status(run_dir)["pid"]) == (2, said.pid)


@pytest.mark.parametrize("mode", ["exec", "in-process"])
def test_restart_in_another_mode_this_once(run_dir: Path, mode: str) -> None:
    with serve(run_dir) as said:
        said.hears("serving")
        assert "life 2 serves" in gateway("restart", "--run-dir", run_dir, "--mode", mode).stdout
        said.hears(f"restart mode: .*{mode}")


def test_supervisor_mode_leaves_with_its_exit_code_and_says_so(run_dir: Path) -> None:
    options = ("--restart-mode", "supervisor", "--restart-exit-code", "75")
    with serve(run_dir, *options) as said:
        said.hears("serving")
        done = gateway("restart", "--run-dir", run_dir)
        assert (done.returncode, done.stdout) == (0, "it has left for its supervisor to start it again\n")
        said.hears(r"restart mode: full process restart \(supervisor restart\)")
        assert said.ends() == 75


def test_a_broken_next_version_is_refused_with_its_traceback_and_the_old_one_serves(
    run_dir: Path, tmp_path: Path
) -> None:
    target = application(tmp_path)
    with serve(run_dir, target, cwd=tmp_path) as said:
        said.hears("serving")
        application(tmp_path, "raise OSError('no database')")
        done = gateway("restart", "--run-dir", run_dir)
        assert done.returncode == 1
        assert "restart refused: the next version ended with exit code 1 before it was loaded" in done.stderr
        assert "OSError: no database" in done.stderr
        past = gateway(
            "history", "--run-dir", run_dir
        ).stdout  # a line for each: it must not end with "it said:"
        assert re.search("^.*restart not done.*it said: .*OSError: no database", past, re.MULTILINE), past
        assert (status(run_dir)["life"], status(run_dir)["ready"]) == (1, True)
        application(tmp_path)
        assert "life 2 serves" in gateway("restart", "--run-dir", run_dir).stdout


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import os; os._exit(0)", "exit code 0 before it was loaded"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9 before"),
        ("this is no Python", "SyntaxError"),
        ("import threading; threading.Event().wait()", "not loaded in time"),
    ],
)
def test_a_next_version_that_does_not_come_to_run_is_refused(
    run_dir: Path, tmp_path: Path, text: str, why: str
) -> None:
    target = application(tmp_path)
    with serve(run_dir, target, "--preflight-timeout", "2", cwd=tmp_path) as said:
        said.hears("serving")
        application(tmp_path, text)
        done = gateway("restart", "--run-dir", run_dir)
        assert done.returncode == 1
        assert why in done.stderr
        assert status(run_dir)["life"] == 1


def test_a_next_life_that_cannot_start_parks_and_the_requester_hears_why(
    run_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "factory.py").write_text(
        "import os\nfrom gatewaylock.serve import serve, status_app\n"
        "def start(gateway):\n"
        "    if os.path.exists('broken'): raise OSError('no database')\n"
        "    return serve(gateway, status_app(gateway), [gateway.listen('127.0.0.1', 0)])\n"
    )
    with serve(run_dir, "factory:start", "--factory", cwd=tmp_path) as said:
        said.hears("serving")
        (tmp_path / "broken").touch()
        done = gateway("restart", "--run-dir", run_dir)
        assert done.returncode == 1
        assert "gateway startup failed: no database" in done.stderr
        assert status(run_dir)["phase"] == "parked"
        (tmp_path / "broken").unlink()
        beside = gateway("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
        assert beside.returncode == 78
        assert (
            "so it is parked" in beside.stderr
            and "`gateway restart` has a parked one try again" in beside.stderr
        )
        assert "life 3 serves" in gateway("restart", "--run-dir", run_dir).stdout


def test_stop_waits_until_it_has_stopped_and_the_name_is_free(run_dir: Path) -> None:
    with serve(run_dir) as said:
        said.hears("serving")
        done = gateway("stop", "--run-dir", run_dir, "--reason", "a test")
        assert (done.returncode, done.stdout) == (0, "stopped\n")
        assert said.ends() == 0
        said.hears(r"received gateway stop \(pid \d+, uid \d+\); shutting down")
    with serve(run_dir) as said:
        said.hears("serving")


def test_stop_during_start_is_served_at_once(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(
        "def start(gateway):\n    print('waiting', flush=True); gateway.stop_requested.wait()\n    raise OSError('told')\n"
    )
    with serve(run_dir, "waits:start", "--factory", cwd=tmp_path) as said:
        said.hears("waiting")
        assert gateway("stop", "--run-dir", run_dir).stdout == "stopped\n"
        assert said.ends() == 0


def test_three_stops_from_the_command_line_escalate(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import threading\nclass Server:\n"
        "    def close(self, reason, *, restart_expected_ms): threading.Event().wait()\n"
        "def start(gateway): return Server()\n"
    )
    words = ("stubborn:start", "--factory", "--stop-timeout", "60")
    with serve(run_dir, *words, cwd=tmp_path) as said:
        said.hears("serving")
        waiting = [
            subprocess.Popen(
                gateway_argv("stop", "--run-dir", run_dir), stdout=subprocess.PIPE, env=environment()
            )
        ]
        said.hears("shutting down")
        waiting += [subprocess.Popen(waiting[0].args, stdout=subprocess.PIPE, env=environment())]
        said.hears("again; skipping the rest of the drain")
        gateway("stop", "--run-dir", run_dir)
        assert said.ends() == 143
        for waiter in waiting:
            assert waiter.communicate(timeout=10)[0] == b"it has ended, without saying goodbye: see its log\n"


def test_a_stop_overtakes_a_restart_that_somebody_waits_for(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import threading\nend = threading.Event()\nclass Server:\n"
        "    def close(self, reason, *, restart_expected_ms): print('closing', flush=True); end.wait(1)\n"
        "def start(gateway): return Server()\n"
    )
    with serve(run_dir, "slow:start", "--factory", cwd=tmp_path) as said:
        said.hears("serving")
        restart = subprocess.Popen(
            gateway_argv("restart", "--run-dir", run_dir),
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        said.hears("closing")
        said.signal(signal.SIGTERM)
        assert "gateway: error: stopped" in restart.communicate(timeout=20)[1]
        assert restart.returncode == 1
        assert said.ends() == 0


def test_interrupting_a_wait_leaves_the_restart_going(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import threading\nclass Server:\n"
        "    def close(self, reason, *, restart_expected_ms): print('closing', flush=True); threading.Event().wait(1)\n"
        "def start(gateway): return Server()\n"
    )
    with serve(run_dir, "slow:start", "--factory", cwd=tmp_path) as said:
        said.hears("serving")
        restart = subprocess.Popen(
            gateway_argv("restart", "--run-dir", run_dir),
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        said.hears("closing")
        restart.send_signal(signal.SIGINT)
        assert "the restart goes on" in restart.communicate(timeout=20)[1]
        assert restart.returncode == 130
        said.hears("serving: .* life=2")


def test_the_built_in_page_answers_health_checks_and_status(run_dir: Path) -> None:
    with serve(run_dir) as said:
        address = said.hears(r"address=(\S+)")[1]
        for path, word in (("/", "serving"), ("/healthz", ""), ("/readyz", ""), ("/status", "life")):
            with urlopen(f"http://{address}{path}", timeout=10) as answer:
                assert answer.status == 200
                assert word in answer.read().decode()


def test_it_serves_on_a_unix_socket_and_keeps_it_over_a_restart(run_dir: Path) -> None:
    path = run_dir / "http"
    with started(*gateway_argv("run", "--run-dir", run_dir, "--bind", f"unix:{path}")) as said:
        for life in (1, 2):
            said.hears(f"life={life} address=unix:{path}")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.0 200")
            if life == 1:
                assert gateway("restart", "--run-dir", run_dir).returncode == 0
        assert gateway("stop", "--run-dir", run_dir).returncode == 0
    assert not path.exists()


@pytest.mark.parametrize(
    "line",
    [
        [sys.executable, "-m", "gatewaylock"],
        [sys.executable, "-X", "dev", "-W", "error", "-m", "gatewaylock"],
        [sys.executable, "-mgatewaylock"],
        [str(ROOT / "bin" / "gateway")],
        [sys.executable, "bin/gateway"],
        ["bin/gateway"],
    ],
)
def test_the_exact_command_line_survives_an_exec(run_dir: Path, line: list[str]) -> None:
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    with started(*line, "run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", cwd=ROOT, **path) as said:
        said.hears("serving")
        before = command_line(said)
        for life in (2, 3):
            assert f"life {life} serves" in gateway("restart", "--run-dir", run_dir).stdout
            assert [word for word in command_line(said)[1:] if "gateway" not in word] == [
                word for word in before[1:] if "gateway" not in word
            ]


def command_line(said: Program) -> list[str]:
    return Path(f"/proc/{said.pid}/cmdline").read_text().rstrip("\0").split("\0")


def test_directory_environment_and_signal_mask_survive_an_exec(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "facts.py").write_text(
        "import os, signal, sys\nprint('facts', os.getcwd(), os.environ.get('MINE'),"
        " sorted(int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])), sys.flags.dev_mode, flush=True)\n"
        "os.chdir('/'); os.environ['MINE'] = 'changed'\n"
        "class Server:\n    def close(self, reason, *, restart_expected_ms): pass\n"
        "def start(gateway): return Server()\n"
    )
    with serve(run_dir, "facts:start", "--factory", cwd=tmp_path, MINE="kept") as said:
        first = said.hears("facts .*")[0]
        assert f"facts {tmp_path} kept [] False" == first
        said.hears("serving")
        assert gateway("restart", "--run-dir", run_dir).returncode == 0
        assert said.hears("facts .*")[0] == first


def test_a_process_that_serves_and_restarts_never_imports_asyncio(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "nosy.py").write_text(
        "import sys\ndef app(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [str('asyncio' in sys.modules).encode()]\n"
    )
    with serve(run_dir, "nosy:app", cwd=tmp_path) as said:
        for _ in range(2):
            address = said.hears(r"address=(\S+)")[1]
            assert gateway("status", "--run-dir", run_dir).returncode == 0
            with urlopen(f"http://{address}/", timeout=10) as answer:
                assert answer.read() == b"False"
            assert gateway("restart", "--run-dir", run_dir).returncode == 0


def test_allow_multi_runs_two_of_a_name_with_a_warning(run_dir: Path) -> None:
    words = gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    with (
        started(*words, GATEWAY_ALLOW_MULTI="1") as first,
        started(*words, GATEWAY_ALLOW_MULTI="1") as second,
    ):
        first.hears("WARNING gateway: GATEWAY_ALLOW_MULTI is set: running without a lock")
        first.hears("serving")
        second.hears("serving")


def test_a_log_of_json_objects(run_dir: Path) -> None:
    with serve(run_dir, "--log-format", "json") as said:
        line = json.loads(said.hears("serving")[0] and said.lines[-1])
        assert (line["level"], line["logger"]) == ("info", "gatewaylock.gateway")


def test_a_reason_cannot_forge_a_log_line(run_dir: Path) -> None:
    with serve(run_dir) as said:
        said.hears("serving")
        gateway("restart", "--run-dir", run_dir, "--reason", "x\n2026 ERROR forged \x1b[31m")
        said.hears("reason given: .x.*forged")
        said.hears("serving")
        assert not any(line.startswith("2026 ERROR forged") for line in said.lines)
        assert "\x1b" not in said.text()
