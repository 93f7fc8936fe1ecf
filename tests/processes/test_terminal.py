"""Life at a terminal: keys, a window that closes, nohup."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_tools import Client
from speaking import eventually, gateway
from supervisors.service import Service, free_port
from terminals import CTRL_C, CTRL_Z, terminal, why_no_terminal

pytestmark = pytest.mark.skipif(bool(why_no_terminal()), reason=why_no_terminal())

SLOW = "GET /slow?x HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.fixture
def service(run_dir: Path) -> Iterator[Service]:
    """A gateway to be started at a terminal."""
    service = Service(run_dir, "bot", run_dir=run_dir / "run", port=free_port())
    yield service
    service.kill_all()


def has_read(port: int) -> bool:
    """Whether the gateway has read all of what came on its only connection (of ours it knows nothing else)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    rows = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
    return [row[4].partition(":")[2] for row in rows] == ["00000000"]


def answers(service: Service) -> bool:
    with Client(("127.0.0.1", service.port)) as client:
        return client.get("/x")[0] == "HTTP/1.1 200 OK"


def test_ctrl_c_stops_it_and_the_request_in_flight_is_answered(run_dir: Path, service: Service) -> None:
    with terminal(run_dir) as term:
        term.type(f"{service.script}; echo code=$?\n")
        term.hears("serving: ")
        with Client(("127.0.0.1", service.port)) as client:
            client.send(SLOW)
            assert eventually(lambda: has_read(service.port))
            term.type(CTRL_C)
            term.hears("received SIGINT; shutting down")
            assert client.answer()[2] == b"/slow?x"
        term.hears("code=0")


def test_ctrl_z_holds_it_and_fg_lets_it_serve_what_has_come_meanwhile(
    run_dir: Path, service: Service
) -> None:
    with terminal(run_dir) as term:
        term.enter(service.script)
        term.hears("serving: ")
        assert answers(service)
        term.type(CTRL_Z)
        term.hears("Stopped")
        with Client(("127.0.0.1", service.port)) as client:
            client.send(SLOW)
            term.type("fg; echo code=$?\n")
            assert client.answer()[2] == b"/slow?x"
        assert gateway("restart", "--run-dir", service.run_dir).returncode == 0
        term.hears("life=2")
        assert answers(service)
        term.type(CTRL_C)
        term.hears("code=0")


@pytest.mark.parametrize("restarted", [False, True], ids=["as started", "after an exec"])
def test_a_terminal_that_closes_stops_it(run_dir: Path, service: Service, restarted: bool) -> None:
    code = run_dir / "code"
    with terminal(run_dir) as term:
        # What a trap catches is back at its default in the child; what it ignores is not.
        inside = f"trap : HUP; {service.script} 2>{service.log}; echo $? >{code}"
        term.enter("sh", "-c", inside)
        service.says("serving: ")
        if restarted:
            assert gateway("restart", "--run-dir", service.run_dir).returncode == 0
        term.close()
        assert service.gone()
        service.says("received SIGHUP; shutting down")
        assert eventually(lambda: code.exists() and code.read_text() == "0\n")


def test_a_log_on_a_terminal_that_has_closed_keeps_no_stop(run_dir: Path, service: Service) -> None:
    with terminal(run_dir) as term:
        term.enter(service.script)
        term.hears("serving: ")
        term.close()
        assert service.gone()


def test_under_nohup_it_outlives_the_terminal_and_every_restart(run_dir: Path, service: Service) -> None:
    with terminal(run_dir) as term:
        term.type(f"nohup {service.script} >{service.log} 2>&1 &\n")
        service.says("serving: ")
        (pid,) = service.alive()
        term.close()
        term.shell.wait(10)
        for life in (2, 3):
            os.kill(pid, signal.SIGHUP)
            done = gateway("restart", "--run-dir", service.run_dir)
            assert f"life {life} serves (pid {pid})" in done.stdout, done.stderr
        assert "SIGHUP" not in service.text()
        assert answers(service)
        assert gateway("stop", "--run-dir", service.run_dir).returncode == 0
        assert service.gone()


def test_in_the_background_it_outlives_a_terminal_that_its_log_is_on(run_dir: Path, service: Service) -> None:
    with terminal(run_dir) as term:
        term.type(f"{service.script} &\n")
        term.hears("serving: ")
        term.close()
        term.shell.wait(10)
        assert answers(service)
        done = gateway("restart", "--run-dir", service.run_dir)
        assert "life 2 serves" in done.stdout, done.stderr
        assert answers(service)
        assert gateway("stop", "--run-dir", service.run_dir).returncode == 0
        assert service.gone()
