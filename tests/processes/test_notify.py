"""Under systemd, as far as a stand-in for it can tell: what is said, in which order, and what comes of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from http_tools import Client, Hammer
from speaking import PROGRAMS, gateway, gateway_argv
from supervisors.notified import Notified, page, unit

FRESH = ["MAINPID", "BARRIER=1"]
MODES = ["exec", "in-process", "spawn", "overlap"]
APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'fine']\n"


def lives(run_dir: Path, start: str, close: str = "", options: str = "{}", **settings: Any) -> Any:
    """tests/programs/lives.py as a service."""
    env = {"START": start, "CLOSE": close, "OPTIONS": options, **settings.pop("env", {})}
    return unit([sys.executable, PROGRAMS / "lives.py", run_dir], env=env, **settings)


def restart(run_dir: Path, *words: str, name: str = "gateway") -> str:
    """``gateway restart``; what it said."""
    done = gateway("restart", "--name", name, "--run-dir", run_dir, *words)
    return done.stdout + done.stderr


def address(found: Notified) -> tuple[str, int]:
    """Where a page serves."""
    return "127.0.0.1", int(found.show()["status"].split(":")[-1].split(";")[0])


@pytest.mark.parametrize("mode", MODES)
def test_start_three_restarts_and_a_stop_are_told_in_this_order(run_dir: Path, mode: str) -> None:
    with page(run_dir, "--restart-mode", mode, "--probation", "0.1", burst=2) as found:
        for life in (2, 3, 4):
            assert f"life {life} serves" in restart(run_dir), found.log()
            found.hears("^reload done")
        shown = found.show()
        assert (shown["state"], shown["alien"], shown["restarts"], shown["starts"]) == ("active", False, 0, 1)
        assert shown["family"] == [shown["main"]]
        assert shown["status"].startswith("life 4 serves on 127.0.0.1:")
        assert found.stop() == "success"
        again = ["RELOADING=1", *(FRESH if mode in ("spawn", "overlap") else []), "READY=1"]
        assert found.told() == ["READY=1", *again * 3, "STOPPING=1"]
        assert "rejected" not in found.log()


def test_each_restart_may_go_another_way(run_dir: Path) -> None:
    """The process that took over is as much systemd's as the one that it started."""
    with page(run_dir, "--probation", "0.1", abstract=True) as found:
        for mode in ("spawn", "exec", "overlap", "in-process", "spawn"):
            assert " serves (pid " in restart(run_dir, "--mode", mode), found.log()
            found.hears("^reload done")
        assert found.stop() == "success"
        assert "rejected" not in found.log()


def test_a_restart_that_is_refused_ends_the_reload_and_says_why(run_dir: Path, tmp_path: Path) -> None:
    """``systemctl reload`` fails by the exit code of ``gateway restart``."""
    (tmp_path / "mine.py").write_text(APP)
    argv = gateway_argv("run", "mine:app", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    again = gateway_argv("restart", "--run-dir", run_dir)
    with unit(argv, cwd=tmp_path, reload=again) as found:
        found.start()
        (tmp_path / "mine.py").write_text("raise OSError('broken')")
        found.do("reload")
        found.hears("^reload failed")
        assert found.told() == ["READY=1", "RELOADING=1", "READY=1"], found.log()
        shown = found.show()
        assert shown["state"] == "active" and "OSError: broken" in shown["status"]
        (tmp_path / "mine.py").write_text(APP)
        found.do("reload")
        found.hears("^reload done")
        assert re.fullmatch(r"life 2 serves on 127\.0\.0\.1:\d+", found.show()["status"])


def test_sighup_of_a_notify_reload_service_restarts_it_and_answers_that_very_request(run_dir: Path) -> None:
    with page(run_dir, type="notify-reload") as found:
        for life in (2, 3):
            found.do("reload")
            found.hears("^state reload-signal")
            found.hears("^reload done")
            assert f"life {life} serves" in found.show()["status"]
        assert found.told() == ["READY=1", *["RELOADING=1", "READY=1"] * 2]


def test_a_reload_that_meets_a_restart_systemd_has_not_heard_of_is_answered_by_its_end(run_dir: Path) -> None:
    """What was said when it began is older than the request, and so no answer to it."""
    os.mkfifo(run_dir / "work")
    work = "gateway.life == 1 and gateway.lanes.submit(open, sys.argv[1] + '/work')"
    with lives(run_dir, work, options="dict(restart_mode='in-process')", type="notify-reload") as found:
        found.start()
        found.do("deaf")
        found.hears("^deaf")
        restart(run_dir, "--no-wait", name="lives")
        found.hears("draining 1 active task")
        found.do("reload")
        found.hears("received SIGHUP during shutdown; ignoring")
        with (run_dir / "work").open("w"):
            pass  # it has waited for this
        found.hears("serving: .* life=2")
        found.do("hear")
        assert found.hears("^reload (.*)")[1] == "done"
        assert found.told() == ["READY=1", "RELOADING=1", "RELOADING=1", "READY=1"]


def test_a_successor_that_fails_is_never_the_main_process(run_dir: Path) -> None:
    options = "dict(restart_mode='spawn', allow_sigusr1=True)"
    start = "f = open(sys.argv[1] + '/first', 'a+'); f.seek(0); int(f.read() or os.getpid()) == os.getpid() or 1 / 0"
    with lives(run_dir, f"{start}; f.write(str(os.getpid())); f.close()", options=options) as found:
        found.start()
        main = found.show()["main"]
        found.do(f"kill {signal.SIGUSR1:d}")
        found.hears("^reload done")
        shown = found.show()
        assert shown["main"] == main
        assert "restart failed: gateway startup failed: division by zero" in shown["status"]
        assert found.told() == ["READY=1", "RELOADING=1", "READY=1"]


def test_a_parked_gateway_is_no_endless_reload(run_dir: Path) -> None:
    options = "dict(restart_mode='in-process', allow_sigusr1=True)"
    with lives(run_dir, "1 / (2 - gateway.life)", options=options) as found:
        found.start()
        found.do(f"kill {signal.SIGUSR1:d}")
        found.hears("^reload done")
        assert found.show()["status"].startswith("gateway startup failed: division by zero")
        found.do(f"kill {signal.SIGUSR1:d}")
        found.hears("^reload done")
        assert found.stop() == "success"
        assert found.told() == ["READY=1", *["RELOADING=1", "READY=1"] * 2, "STOPPING=1"]


def test_leaving_for_the_supervisor_to_start_it_again_is_a_stop(run_dir: Path) -> None:
    words = ("--restart-mode", "supervisor", "--restart-exit-code", "75")
    with page(run_dir, *words, store=4) as found:
        port = address(found)[1]
        restart(run_dir)
        found.hears("^state auto-restart")
        found.hears("^state active")
        assert address(found)[1] == port
        assert found.told() == ["READY=1", "RELOADING=1", "STOPPING=1", "READY=1"]


def test_a_first_start_that_fails_tells_the_errno_and_is_not_tried_again(run_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        argv = gateway_argv("run", "--run-dir", run_dir, "--bind", f"127.0.0.1:{taken.getsockname()[1]}")
        with unit(argv) as found:
            found.do("start")
            assert found.over() == "exit-code"
            assert found.told(of="READY|ERRNO|EXIT_STATUS") == ["ERRNO=98", "EXIT_STATUS=78"]
            assert found.show()["starts"] == 1


# -- time ------------------------------------------------------------------------------------------


def test_a_stop_whose_work_gets_less_may_take_longer_than_systemd_waits(run_dir: Path) -> None:
    start = "[gateway.lanes.submit(sleeps, 0.4) for _ in range(8)]"
    options = "dict(limits=Limits(stop=20), supervisor_timeout=2)"
    with lives(run_dir, start, options=options, timeout_stop=2, watchdog=2) as found:
        found.start()
        assert found.stop() == "success"
        assert found.log().count("slept") == 8
        assert "WATCHDOG=1" not in found.log().partition("STOPPING=1")[2], "each would start a clock anew"
        assert re.search(
            "INFO a stop may take 20 s, .* 2 s .*without progress it is over after 1.5 s", found.log()
        )
        assert asked_for(found) and all(0 < seconds <= 2 for seconds in asked_for(found))
        assert "stop timed out" not in found.log()


def test_a_stop_whose_work_does_not_get_less_ends_before_systemd_ends_it(run_dir: Path) -> None:
    start = "gateway.lanes.submit(hold.wait)"
    options = "dict(limits=Limits(stop=20), supervisor_timeout=3)"
    with lives(run_dir, start, options=options, timeout_stop=3) as found:
        found.start()
        assert found.stop() == "success"
        assert found.told(of="EXTEND_TIMEOUT_USEC") == []
        assert "no work ends any more" in found.log() and "code 0" in found.log()
        assert "stop timed out" not in found.log()


@pytest.mark.parametrize("asked", ["by systemd", "gateway stop"])
def test_a_stop_that_holds_the_interpreter_ends_before_systemd_ends_it(run_dir: Path, asked: str) -> None:
    """No thread of ours can speak, or end anything: the watchdog's second line needs none."""
    close, options = (
        "import ctypes; ctypes.PyDLL(None).sleep(60)",
        "dict(limits=Limits(stop=20), supervisor_timeout=2)",
    )
    with lives(run_dir, "", close, options, timeout_stop=8, restart="no") as found:
        found.start()
        if asked == "by systemd":
            found.do("stop")
        else:
            gateway("stop", "--name", "lives", "--run-dir", run_dir)
        assert found.over() == "exit-code"
        assert "stop timed out" not in found.log()
        assert "in close" in found.log(), "the stack"


def test_what_still_runs_when_all_is_over_ends_before_systemd_ends_it(run_dir: Path) -> None:
    options = "dict(limits=Limits(stop=20), supervisor_timeout=2)"
    with lives(run_dir, "__import__('atexit').register(hold.wait)", "", options, timeout_stop=8) as found:
        found.start()
        assert found.stop() == "success"
        assert "stop timed out" not in found.log()


def test_what_still_runs_after_a_parked_one_has_left_ends_in_the_time_of_its_stop(run_dir: Path) -> None:
    """Whatever systemd would grant."""
    options = (
        "dict(restart_mode='in-process', allow_sigusr1=True, limits=Limits(stop=1), supervisor_timeout=20)"
    )
    start = "__import__('atexit').register(hold.wait); gateway.life > 1 and 1 / 0"
    with lives(run_dir, start, "", options, timeout_stop=4) as found:
        found.start()
        found.do(f"kill {signal.SIGUSR1:d}")
        found.hears("Process will stay alive")
        assert found.stop() == "success"
        assert "stop timed out" not in found.log()


def test_a_stop_that_overtakes_a_restart_is_told_and_ends_in_time_too(run_dir: Path) -> None:
    options = "dict(allow_sigusr1=True, limits=Limits(stop=20), supervisor_timeout=3)"
    with lives(run_dir, "gateway.lanes.submit(hold.wait)", options=options, timeout_stop=3) as found:
        found.start()
        found.do(f"kill {signal.SIGUSR1:d}")
        found.hears("draining 1 active task")
        assert found.stop() == "success"
        assert found.told() == ["READY=1", "RELOADING=1", "STOPPING=1"]
        assert "stop timed out" not in found.log()


def test_a_start_that_does_not_heed_a_stop_ends_before_systemd_ends_it(run_dir: Path) -> None:
    options = "dict(restart_mode='in-process', limits=Limits(stop=20), supervisor_timeout=3)"
    start = "gateway.life == 2 and (say('stuck', flush=True), hold.wait())"
    with lives(run_dir, start, options=options, timeout_stop=3) as found:
        found.start()
        gateway("restart", "--name", "lives", "--run-dir", run_dir, "--no-wait")
        found.hears("stuck")
        assert found.stop() == "success"
        assert "stop timed out" not in found.log()


def watched_for(found: Notified) -> list[int]:
    """Within which time systemd was to hear of us, one after the other; seconds, 0: not at all."""
    return [round(int(word.split("=")[1]) / 1e6) for word in found.told(of="WATCHDOG_USEC")]


def asked_for(found: Notified) -> list[float]:
    """How much time was asked for, from then on; seconds."""
    return [int(word.split("=")[1]) / 1e6 for word in found.told(of="EXTEND_TIMEOUT_USEC")]


@pytest.mark.parametrize("mode", ["exec", "in-process"])
def test_a_boot_may_take_what_it_is_given_however_short_the_watchdog_waits(run_dir: Path, mode: str) -> None:
    """Nobody gives signs of life in it, nor in a stop, where each would start the clock for the next one."""
    options = f"dict(restart_mode={mode!r}, allow_sigusr1=True, limits=Limits(start=50))"
    with lives(run_dir, "", options=options, watchdog=30) as found:
        found.start()
        found.hears("^told .* WATCHDOG=1")
        found.do(f"kill {signal.SIGUSR1:d}")
        found.hears("^reload done")
        assert found.stop() == "success"
        assert watched_for(found) == [30, 51, 30, 0]
        assert asked_for(found) == [pytest.approx(50, abs=1)]


def test_a_restart_asks_for_more_time_while_its_work_gets_less_and_for_its_start(run_dir: Path) -> None:
    work = "gateway.life == 1 and [gateway.lanes.submit(sleeps, 0.4) for _ in range(4)]"
    with lives(run_dir, work, options="dict(allow_sigusr1=True, limits=Limits(start=50))") as found:
        found.start()
        found.do(f"kill {signal.SIGUSR1:d}")
        found.hears("^reload done")
        *drain, start = asked_for(found)
        assert drain and all(0 < seconds <= 10 for seconds in drain)
        assert start == pytest.approx(50, abs=1)


@pytest.mark.parametrize("mode", ["spawn", "overlap"])
def test_a_process_that_leaves_slowly_does_not_let_its_successor_seem_dead(run_dir: Path, mode: str) -> None:
    """Nobody gives signs of life meanwhile: it has introduced the new one, which is silent beside it."""
    options = f"dict(restart_mode={mode!r}, probation=0.1, allow_sigusr1=True)"
    with lives(run_dir, "", options=options, watchdog=6) as found:
        found.start()
        found.do(f"kill {signal.SIGUSR1:d}")
        introduced = found.hears("^told .* MAINPID=.* WATCHDOG_USEC=(.*)")
        assert int(introduced[1]) > 10e6, "by then our own watchdog has ended it"
        found.hears("^reload done")
        found.hears("^told .* WATCHDOG=1")
        assert found.stop() == "success"
        assert watched_for(found) == [6, 11, 6, 0]


def test_the_watchdog_fires_when_the_main_loop_is_stuck(run_dir: Path) -> None:
    stuck = "lambda *_: (say('stuck'), time.sleep(60))"
    start = f"import signal; signal.signal(signal.SIGUSR2, {stuck})"
    with lives(run_dir, start, watchdog=1.2, restart="no") as found:
        found.start()
        for _ in range(3):
            found.hears("^told .* WATCHDOG=1")
        found.do(f"kill {signal.SIGUSR2:d}")
        found.hears("^stuck")
        found.hears("^watchdog timeout")
        assert found.over() == "watchdog"
        assert found.log().partition("\nstuck")[2].count("WATCHDOG=1") <= 1, "of what had moved before"


# -- sockets ---------------------------------------------------------------------------------------


def test_a_crash_refuses_no_connection_and_who_waits_is_served_by_the_next_life(run_dir: Path) -> None:
    with page(run_dir, store=4, restart="always", restart_sec=0.4) as found:
        to = address(found)
        with Hammer(to, fresh=4, kept=0, paths=("/healthz",)) as clients:
            found.do("kill 9")
            found.hears("^state auto-restart")
            with Client(to) as waits:
                waits.send("GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
                found.hears("^state active")
                assert waits.answer()[0] == "HTTP/1.1 200 OK"
        assert "fresh: ConnectionRefusedError" not in clients.ended
        assert found.show()["store"] == ["gatewaylock-127.0.0.1%3A0"]


def test_a_unix_socket_in_the_store_outlives_a_crash_and_goes_with_its_path(run_dir: Path) -> None:
    path = run_dir / "web.sock"
    argv = gateway_argv("run", "--run-dir", run_dir, "--bind", f"unix:{path}")
    with unit(argv, store=4) as found:
        found.start()
        found.do("kill 9")
        found.hears("^state auto-restart")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.")
        found.hears("^state active")
        assert found.stop() == "success"
        assert not path.exists()
        assert found.told(of="FDSTOREREMOVE") == ["FDSTOREREMOVE=1"]


def test_a_server_that_closes_its_socket_can_have_it_again_although_systemd_holds_a_copy(
    run_dir: Path,
) -> None:
    for mode in ("in-process", "exec"):
        options = f"dict(restart_mode={mode!r})"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        start = f"global sock; sock = gateway.listen('127.0.0.1', {port})"
        with lives(run_dir, start, "sock.close()", options, store=4) as found:
            found.start()
            assert "life 2 serves" in restart(run_dir, name="lives"), found.log()
            assert len(found.show()["store"]) == 1
            assert found.stop() == "success"


def test_sockets_of_a_socket_unit_are_taken_by_address_and_by_name(run_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [sock.getsockname()[1] for sock in (free, other)]
    sockets = [["web", f"127.0.0.1:{ports[0]}"], ["admin", f"127.0.0.1:{ports[1]}"]]
    argv = gateway_argv("run", "--run-dir", run_dir, "--bind", f"127.0.0.1:{ports[0]}", "--bind", "fd:admin")
    with unit(argv, sockets=sockets, store=4) as found:
        found.start()
        for mode in ("exec", "spawn"):
            assert "serves (pid" in restart(run_dir, "--mode", mode), found.log()
            found.hears("^reload done")
            for port in ports:
                with Client(("127.0.0.1", port)) as client:
                    assert client.get("/healthz")[0] == "HTTP/1.1 200 OK"
        assert found.show()["store"] == [], "systemd holds them anyway"
        found.do("kill 9")
        found.hears("^state auto-restart")
        found.hears("^state active")
        assert "nobody asked for it" not in found.log()


def test_children_inherit_nothing_that_was_meant_for_the_gateway_alone(run_dir: Path) -> None:
    start = "import subprocess; subprocess.run(['sh', '-c', 'env | cut -d= -f1 | sed s/^/child:/'])"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sockets, options = [["web", f"127.0.0.1:{port}"]], "dict(allow_sigusr1=True)"
    with lives(run_dir, start, sockets=sockets, options=options, watchdog=30) as found:
        found.do("start")
        found.hears(f"systemd listens on 127.0.0.1:{port} for us, and nobody asked for it")
        found.hears("^state active")
        found.do(f"kill {signal.SIGUSR1:d}")
        found.hears("^reload done")
        names = {line[6:] for line in found.said.lines if line.startswith("child:")}
        assert "INVOCATION_ID" in names
        assert not names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"}


def test_a_process_below_the_service_says_nothing(run_dir: Path) -> None:
    """Not even where it might: NotifyAccess=all."""
    words = " ".join(
        f"'{word}'" for word in gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    )
    with unit(["sh", "-c", f"{words}; exit"], type="simple", access="all") as found:
        found.do("start")
        found.hears("serving: name=gateway")
        assert "life 2 serves" in restart(run_dir)
        assert found.told(of=r"\w+") == []


def test_sockets_outlive_a_program_that_comes_back_under_another_name(run_dir: Path, tmp_path: Path) -> None:
    """What the last image left is no use then, but for the sockets: systemd's store holds them too."""
    program = tmp_path / "renamed.py"
    text = (PROGRAMS / "tcp_echo.py").read_text()
    program.write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with unit([sys.executable, program, run_dir, str(port)], store=4) as found:
        found.start()
        program.write_text(text.replace('"echo"', '"other"'))
        gateway("restart", "--name", "echo", "--run-dir", run_dir)
        found.hears("^reload done")
        assert gateway("status", "--name", "other", "--run-dir", run_dir).returncode == 0
        with socket.create_connection(("127.0.0.1", port), 20) as client:
            client.sendall(b"hello\n")
            assert client.recv(100).endswith(b" hello\n")


def test_what_systemd_does_not_read_at_once_is_told_later_and_in_order(run_dir: Path) -> None:
    with page(run_dir, "--restart-mode", "in-process") as found:
        found.do("deaf")
        found.hears("^deaf")
        for life in (2, 3):
            assert f"life {life} serves" in restart(run_dir)
        found.do("hear")
        found.hears("^hear")
        for _ in (2, 3):
            found.hears("^reload done")
        assert found.told() == ["READY=1", *["RELOADING=1", "READY=1"] * 2]
