"""The control socket against clients of every kind."""

from __future__ import annotations

import logging
import os
import queue
import resource
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from fake_desk import FakeDesk, client, heard, line, serving

from gatewaylock.control import crowd, server, waiting
from gatewaylock.core.plan import Action, Mode, Outcome, Phase, Verdict

pytestmark = pytest.mark.usefixtures("descriptors")

YES = Verdict(True, "restarting")
SERVES = Outcome("life 4 serves", Action.RESTART, Phase.SERVING, 4, 1)
linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells who asks on Linux")


def waits(connection: socket.socket, verb: str = "restart") -> None:
    connection.sendall(line(verb=verb, wait=True))
    assert heard(connection)["ok"]


def test_status_is_one_line_and_the_end(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk()) as (_, path), client(path) as asking:
        asking.sendall(line(verb="status"))
        assert heard(asking)["status"]["phase"] == "serving"
        assert heard(asking) == {}


def test_a_ping_is_answered_by_the_loop_and_by_nobody_else(run_dir: Path) -> None:
    beats: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    with serving(run_dir, FakeDesk(), come_by=beats.put) as (_, path), client(path) as asking:
        asking.sendall(line(verb="ping"))
        seen = beats.get(timeout=10)
        with client(path) as other:  # while the loop is stuck
            other.sendall(line(verb="status"))
            assert heard(other)["ok"]
        asking.setblocking(False)
        with pytest.raises(BlockingIOError):
            asking.recv(1)
        asking.settimeout(10)
        seen()
        assert heard(asking) == {"v": 1, "ok": True, "text": "the main loop moves"}
        assert heard(asking) == {}


def test_any_number_of_pings_to_a_loop_that_is_stuck_leaves_room_for_a_stop(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "UNDECIDED", 2)
    with serving(run_dir, FakeDesk(YES), come_by=lambda seen: None) as (_, path), ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(client(path)).sendall(line(verb="ping"))
        third, stopping = (stack.enter_context(client(path)) for _ in range(2))
        third.sendall(line(verb="ping"))
        assert heard(third)["error"] == "busy"
        stopping.sendall(line(verb="stop"))
        assert heard(stopping)["ok"]


def test_a_request_says_who_asked_and_what_for(run_dir: Path) -> None:
    desk = FakeDesk(YES)
    with serving(run_dir, desk) as (_, path), client(path) as asking:
        asking.sendall(line(verb="restart", reason="new version", mode="in-process", force=True))
        assert heard(asking) == {"v": 1, "ok": True, "text": "restarting"}
        assert heard(asking) == {}
    (request,) = desk.requests
    who = f"pid {os.getpid()}, uid {os.getuid()}" if sys.platform == "linux" else "local"
    assert request.cause == f"gateway restart ({who})"
    assert (request.action, request.reason) == (Action.RESTART, "new version")
    assert (request.mode, request.force) == (Mode.IN_PROCESS, True)


def test_who_waits_hears_the_outcome(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk(YES)) as (control, path), client(path) as asking:
        waits(asking)
        control.announce(SERVES)
        assert heard(asking) == {"v": 1, **SERVES.as_dict()}
        assert heard(asking) == {}
        assert control.held() == []


def test_who_is_refused_does_not_wait(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk(Verdict(False, "stopping"))) as (control, path), client(path) as asking:
        asking.sendall(line(verb="restart", wait=True))
        assert heard(asking)["ok"] is False
        assert heard(asking) == {}
        assert control.held() == []


def test_a_slow_decision_keeps_nobody_else_waiting(run_dir: Path) -> None:
    desk = FakeDesk()
    with serving(run_dir, desk) as (_, path), client(path) as slow, client(path) as quick:
        slow.sendall(line(verb="restart"))
        quick.sendall(line(verb="status"))
        assert heard(quick)["ok"]
        desk.unanswered[0](YES)
        assert heard(slow)["text"] == "restarting"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"hello\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"{}\n",
        b'{"v": 2, "verb": "stop"}\n',
        b'{"v": 1}\n',
        b'{"v": 1, "verb": "dance"}\n',
        b'{"v": 1, "verb": ["stop"]}\n',
        b'{"v": 1, "verb": "stop", "reason": 5}\n',
        b'{"v": 1, "verb": "restart", "mode": "magic"}\n',
        b'{"v": 1, "verb": "restart", "mode": {}}\n',
        b"[" * 60000 + b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_gets_one_line_and_changes_nothing(run_dir: Path, garbage: bytes) -> None:
    desk = FakeDesk(YES)
    with serving(run_dir, desk) as (_, path), client(path) as asking:
        asking.sendall(garbage)
        reply = heard(asking)
        assert reply["ok"] is False
        assert reply["text"]
        assert heard(asking) == {}
    assert desk.requests == []


def test_ten_megabytes_without_a_newline_never_are_in_memory(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk()) as (_, path), client(path) as flooding:
        sent = 0
        with suppress(ConnectionError):
            while sent < 10_000_000:
                sent += flooding.send(b"x" * 65536)
        assert sent < 2_000_000  # what the kernel's buffers took
        assert "65536 bytes" in heard(flooding)["text"]
        with client(path) as next_one:
            next_one.sendall(line(verb="status"))
            assert heard(next_one)["ok"]


def test_a_silent_client_is_told_and_sent_away(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk(), patience=0.05) as (_, path), client(path) as silent:
        assert heard(silent)["text"] == "nothing was asked in time"
        assert heard(silent) == {}


def test_a_client_that_dribbles_has_no_more_time_than_a_silent_one(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk(), patience=0.2) as (_, path), client(path) as dribbling:
        dribbling.setblocking(False)
        answer = b""
        for byte in b"x" * 10_000_000:
            with suppress(BlockingIOError, ConnectionError):
                dribbling.send(bytes([byte]))
            with suppress(BlockingIOError, ConnectionError):
                answer += dribbling.recv(4096)
            if answer:
                break
        assert b"in time" in answer


def test_a_client_that_leaves_before_it_asks_costs_nothing(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk()) as (_, path):
        for _ in range(100):
            with client(path) as leaving:
                leaving.sendall(b'{"v": 1')
        with client(path) as asking:
            asking.sendall(line(verb="status"))
            assert heard(asking)["ok"]


def test_a_hundred_clients_at_once_are_all_answered(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk()) as (_, path), ExitStack() as stack:
        clients = [stack.enter_context(client(path)) for _ in range(100)]
        for asking in reversed(clients):
            asking.sendall(line(verb="status"))
        assert all(heard(asking).get("ok") for asking in clients)


def test_silent_clients_in_any_number_do_not_keep_a_stop_outside(run_dir: Path) -> None:
    desk = FakeDesk(Verdict(True, "stopping"))
    with serving(run_dir, desk) as (_, path), ExitStack() as stack:
        for _ in range(2 * crowd.CLIENTS):
            stack.enter_context(client(path))
        with client(path) as asking:
            asking.sendall(line(verb="stop"))
            assert heard(asking)["text"] == "stopping"


def test_undecided_restarts_in_any_number_do_not_keep_a_stop_outside(run_dir: Path) -> None:
    desk = FakeDesk()
    with serving(run_dir, desk) as (_, path), ExitStack() as stack:
        for _ in range(waiting.UNDECIDED):
            stack.enter_context(client(path)).sendall(line(verb="restart"))
        one_more = stack.enter_context(client(path))
        one_more.sendall(line(verb="restart"))
        assert "too many" in heard(one_more)["text"]
        asking = stack.enter_context(client(path))
        asking.sendall(line(verb="stop"))
        with client(path) as later:  # answered after the stop was heard
            later.sendall(line(verb="status"))
            assert heard(later)["ok"]
        assert desk.requests[-1].action is Action.STOP


def test_announcing_to_clients_that_do_not_read_takes_no_time(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk(YES)) as (control, path), client(path) as deaf, client(path) as reader:
        waits(deaf)
        waits(reader)
        held = socket.socket(fileno=os.dup(control.held()[0]))
        with held:
            held.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    held.send(b"x" * 4096)  # its buffer is full now
        control.announce(SERVES)
        assert heard(reader)["life"] == 4


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_one_who_waits_too_many_is_told_so_and_sees_no_bare_end(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(waiting, "WAITING", 1)
    with serving(run_dir, FakeDesk(YES)) as (_, path), client(path) as first, client(path) as second:
        waits(first)
        waits(second, verb)
        last = heard(second)
        assert (last["done"], "too many wait" in last["text"]) == (None, True)
        assert heard(second) == {}


def test_a_waiting_client_goes_through_a_restart(run_dir: Path) -> None:
    desk = FakeDesk(YES)
    with serving(run_dir, desk, closes=False) as (control, path), client(path) as asking:
        waits(asking)
        passed = [os.dup(fd) for fd in control.held()]  # what an exec does with them
        control.close()
        assert os.get_inheritable(passed[0]) is False
        os.set_inheritable(passed[0], True)
        (run_dir / "next").mkdir()
        with serving(run_dir / "next", desk) as (after, _):
            after.adopt([*passed, 999_999])
            assert after.held() == passed
            assert os.get_inheritable(passed[0]) is False
            after.announce(SERVES)
            assert heard(asking)["life"] == 4


def test_close_ends_every_connection_and_leaves_the_listener_open(run_dir: Path) -> None:
    desk = FakeDesk()
    with serving(run_dir, desk, closes=False) as (control, path), ExitStack() as stack:
        waiting, undecided, silent = (stack.enter_context(client(path)) for _ in range(3))
        desk.verdict = YES
        waits(waiting)
        desk.verdict = None
        undecided.sendall(line(verb="restart"))
        silent.sendall(b'{"v":')
        with client(path) as later:  # answered after the three were heard
            later.sendall(line(verb="status"))
            assert heard(later)["ok"]
        control.close()
        assert [heard(asking) for asking in (waiting, undecided, silent)] == [{}, {}, {}]
        desk.unanswered[0](YES)  # too late: nobody is there, and nothing breaks
        stack.enter_context(client(path))


def test_a_failing_desk_costs_one_request_and_not_the_socket(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = FakeDesk()
    with serving(run_dir, desk) as (_, path):
        desk.broken = True
        with client(path) as asking:
            asking.sendall(line(verb="status"))
            assert "failed" in heard(asking)["text"]
        desk.broken = False
        with client(path) as asking:
            asking.sendall(line(verb="status"))
            assert heard(asking)["ok"]
    assert "a control request failed" in caplog.text


def test_no_descriptors_left_is_said_once_and_does_not_spin(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(run_dir, FakeDesk()) as (_, path), socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(10)
        warned = threading.Event()
        handler = logging.Handler()
        handler.emit = lambda record: warned.set()  # type: ignore[method-assign]
        server.log.addHandler(handler)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            asking.connect(path)
            asking.sendall(line(verb="status"))
            assert warned.wait(10)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            server.log.removeHandler(handler)
        assert heard(asking)["ok"]
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("no control connections for 0.5 s")


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_another_user_is_refused_by_the_server_even_where_the_modes_let_it_in(run_dir: Path) -> None:
    desk = FakeDesk(YES)
    run_dir.chmod(0o755)
    with serving(run_dir, desk) as (_, path):
        os.chmod(path, 0o777)
        assert "only the owner" in as_nobody(path)
    assert desk.requests == []


def as_nobody(path: str) -> str:
    """What another user is told who asks for a stop."""
    import subprocess

    program = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])\n"
        'try: s.sendall(b\'{"v": 1, "verb": "stop"}\\n\')\n'
        "except OSError: pass\n"
        "print(s.recv(4096).decode())"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout
