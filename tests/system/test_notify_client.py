"""The client of the notify protocol: never blocks, never raises, loses no order; and who may use it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_tools import in_background

from gatewaylock.core.deadline import Deadline
from gatewaylock.system import notify
from gatewaylock.system.notify import Manager


class Listening:
    """The other end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + path[1:] if path.startswith("@") else path)
        self.sock.settimeout(5)

    def hears(self) -> str:
        return self.sock.recv(4096).decode()


@pytest.fixture(params=["path", "abstract"])
def systemd(run_dir: Path, request: pytest.FixtureRequest) -> Iterator[Listening]:
    listening = Listening(("@" if request.param == "abstract" else "") + str(run_dir / "notify"))
    yield listening
    listening.sock.close()


@pytest.fixture
def manager(systemd: Listening) -> Iterator[Manager]:
    manager = Manager(systemd.path)
    yield manager
    manager.close()


def fill(manager: Manager) -> int:
    """Tell until the queue of the other end is full; how many that took."""
    count = 0
    while manager.flush(Deadline.after(0)):
        manager.tell(f"X={count}")
        count += 1
    return count


def test_one_message_is_one_datagram_of_lines(systemd: Listening, manager: Manager) -> None:
    manager.tell("READY=1", "STATUS=fine")
    assert systemd.hears() == "READY=1\nSTATUS=fine"


@pytest.mark.usefixtures("descriptors")
def test_a_full_queue_blocks_nobody_and_loses_neither_order_nor_descriptors(
    systemd: Listening, manager: Manager
) -> None:
    count = fill(manager)
    for number in range(100):
        manager.tell(f"STATUS={number}")  # of these the last one counts
    with open(os.devnull) as file:
        manager.tell("FDSTORE=1", fds=(file.fileno(),))
    manager.tell("READY=1")
    manager.ping("WATCHDOG=1")
    assert not manager.flush(Deadline.after(0.01))
    heard = [systemd.hears() for _ in range(count - 1)]
    assert manager.flush(Deadline.after(5))
    heard += [systemd.hears() for _ in range(4)]
    assert heard == [*(f"X={number}" for number in range(count)), "STATUS=99", "FDSTORE=1", "READY=1"]


def test_what_is_unsaid_in_time_is_never_sent(systemd: Listening, manager: Manager) -> None:
    count = fill(manager) - 1
    manager.tell("MAINPID=1")
    manager.unsay()
    for number in range(count):
        assert systemd.hears() == f"X={number}"
    manager.tell("READY=1")
    assert systemd.hears() == "READY=1"


@pytest.mark.usefixtures("descriptors")
def test_a_barrier_waits_until_the_other_end_lets_go_of_it(systemd: Listening, manager: Manager) -> None:
    assert not manager.barrier(Deadline.after(0.01)), "nobody has read it"

    def read() -> None:
        for _ in range(2):
            text, fds, _, _ = socket.recv_fds(systemd.sock, 100, 1)
            assert text == b"BARRIER=1"
            os.close(fds[0])

    with in_background(read):
        assert manager.barrier(Deadline.after(5))


def test_nobody_there_is_said_once_and_found_when_it_comes_back(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(run_dir / "notify")
    with caplog.at_level(logging.WARNING):
        manager = Manager(path)
        manager.tell("READY=1")
        assert not manager.flush(Deadline.after(0.01)) and not manager.barrier(Deadline.after(0.01))
    assert [record.message[:29] for record in caplog.records] == ["systemd cannot be told how we"]
    systemd = Listening(path)
    manager.tell("STOPPING=1")
    assert systemd.hears() == "READY=1"
    systemd.sock.close()
    os.unlink(path)
    systemd = Listening(path)
    manager.tell("STATUS=here")
    assert "STATUS=here" in [systemd.hears()]
    systemd.sock.close()
    manager.close()


def test_out_of_descriptors_it_says_nothing_and_harms_nothing(
    systemd: Listening, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*args: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "dup", no_more)
    monkeypatch.setattr(os, "pipe2", no_more)
    manager.tell("FDSTORE=1", fds=(0,))
    assert not manager.barrier(Deadline.after(1))
    manager.tell("READY=1")
    assert systemd.hears() == "READY=1"


def test_a_program_that_closes_everything_takes_nothing_from_it_and_gets_nothing_of_it(
    systemd: Listening, manager: Manager
) -> None:
    assert manager._socket is not None
    number = manager._socket.fileno()
    os.close(number)
    with socket.socket() as other:
        assert other.fileno() == number, "the lowest free number"
        manager.tell("READY=1")
        assert systemd.hears() == "READY=1"
        assert other.fileno() == number and os.fstat(number)


def test_a_forked_child_has_no_voice(systemd: Listening, manager: Manager) -> None:
    before = len(os.listdir("/proc/self/fd"))
    child = os.fork()
    if not child:
        os._exit(before - len(os.listdir("/proc/self/fd")))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


PATH = {"NOTIFY_SOCKET": "/run/notify"}


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, ""),
        ({**PATH, "SYSTEMD_EXEC_PID": "77"}, "/run/notify"),
        ({"NOTIFY_SOCKET": "@notify", "SYSTEMD_EXEC_PID": "77"}, "@notify"),
        ({**PATH, "SYSTEMD_EXEC_PID": "76"}, ""),  # a child of the service
        (PATH, ""),  # of nobody's making: our parent is no systemd
        ({"NOTIFY_SOCKET": "vsock:2:1234", "SYSTEMD_EXEC_PID": "77"}, ""),
        ({"NOTIFY_SOCKET": "relative", "SYSTEMD_EXEC_PID": "77"}, ""),
        ({**PATH, "SYSTEMD_EXEC_PID": "77", "GATEWAY_SUPERVISOR": "none"}, ""),
        ({**PATH, "SYSTEMD_EXEC_PID": "76", "GATEWAY_SUPERVISOR": "systemd"}, "/run/notify"),
    ],
)
def test_who_may_speak(environ: dict[str, str], found: str) -> None:
    assert notify.address(environ, 77) == found
    assert notify.can_move_main_pid(environ, 77) == bool(found)
    taken = dict(environ)
    assert notify.take(taken, 77) == found
    assert ("NOTIFY_SOCKET" in taken) == ("NOTIFY_SOCKET" in environ and not found)


def test_pid_1_of_a_container_may_speak_without_systemd() -> None:
    assert notify.address(PATH, 1) == "/run/notify"
    assert not notify.can_move_main_pid(PATH, 1)


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("2000000", "77", 2.0),
        ("2000000", None, 2.0),
        ("2000000", "76", 0.0),
        ("x", "77", 0.0),
        ("-1", None, 0.0),
    ],
)
def test_the_watchdog_is_meant_for_one_process(usec: str, pid: str | None, seconds: float) -> None:
    environ = {"WATCHDOG_USEC": usec} | ({} if pid is None else {"WATCHDOG_PID": pid})
    assert notify.watchdog(environ, 77) == seconds
    assert notify.watchdog({}, 77) == 0.0


def test_what_others_get_of_the_environment() -> None:
    ours = {
        "NOTIFY_SOCKET": "/n",
        "WATCHDOG_PID": "77",
        "WATCHDOG_USEC": "1",
        "LISTEN_FDS": "2",
        "LISTEN_PID": "77",
    }
    kept = {"PATH": "/bin", "INVOCATION_ID": "a"}
    assert notify.for_child({**ours, **kept, "SYSTEMD_EXEC_PID": "77"}) == {**kept, "SYSTEMD_EXEC_PID": "77"}
    left = notify.for_successor({**ours, **kept, "SYSTEMD_EXEC_PID": "77"}, 77, "new")
    told = {"NOTIFY_SOCKET": "/n", "WATCHDOG_PID": "new", "WATCHDOG_USEC": "1", "SYSTEMD_EXEC_PID": "new"}
    assert left == {**kept, **told}
    assert notify.for_successor({"SYSTEMD_EXEC_PID": "5"}, 77, "new") == {"SYSTEMD_EXEC_PID": "5"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fine", "fine"),
        ("", ""),
        ("a\nREADY=1\x1b[31m", "a ... READY=1\\x1b[31m"),
        ("one\ntwo\n\nthree\n", "one ... three"),
        ("same\nsame", "same"),
        ("\udcff", "\\udcff"),
        ("x" * 1000, "x" * 240),
    ],
)
def test_a_status_is_one_plain_line(text: str, line: str) -> None:
    assert notify.plain(text) == line
