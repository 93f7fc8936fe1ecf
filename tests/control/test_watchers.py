"""The stream of those who watch: whole, in order, and nobody waits for them."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_desk import STATUS, FakeDesk, client, heard, line, serving
from speaking import eventually

from gatewaylock.control import watchers
from gatewaylock.control.server import ControlServer
from gatewaylock.core.events import Event
from gatewaylock.core.facts import Item
from gatewaylock.core.plan import LONGEST, Phase, Status, Verdict
from gatewaylock.system.process import known

pytestmark = pytest.mark.usefixtures("descriptors")


def event(text: str = "", kind: str = "asked") -> Event:
    return Event(kind, "serving", 3, 1, {"text": text})


def watch(connection: socket.socket) -> dict[str, Any]:
    connection.sendall(line(verb="watch"))
    answer = heard(connection)
    assert answer["ok"] and answer["status"]["life"] == 3
    return answer


def events(connection: socket.socket, count: int) -> list[str]:
    """The texts of the next *count* events, without the status between them."""
    found: list[str] = []
    while len(found) < count:
        said = heard(connection)
        assert said
        if said["event"] != "status":
            found.append(said["text"])
    return found


def test_what_happens_is_told_in_order_and_a_status_after_it(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk()) as (control, path), client(path) as watching:
        watch(watching)
        for number in range(50):
            control.tell(event(str(number)))
        assert events(watching, 50) == [str(number) for number in range(50)]
        assert heard(watching)["status"]["name"] == "fake"


def test_the_status_comes_again_and_again_and_faster_on_the_way_down(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "CALM", 60.0)
    monkeypatch.setattr(watchers, "BUSY", 0.01)
    desk = FakeDesk()
    desk.status = lambda: replace(STATUS, phase=Phase.DRAINING)  # type: ignore[method-assign]
    with serving(run_dir, desk) as (control, path), client(path) as watching:
        watch(watching)
        control.tell(event())
        assert [heard(watching)["event"] for _ in range(5)] == ["asked", *["status"] * 4]


def test_names_of_any_length_leave_a_status_small_enough_for_the_buffer(run_dir: Path) -> None:
    """The kernel's buffer is all that a watcher has: one whose first line does not fit would never see any."""
    desk, wide = FakeDesk(), "\U0001f600" * 300  # twelve bytes each, in JSON
    item = Item("1.1", "task", f'task "{wide[:80]}..." {wide[:80]}', wide[:LONGEST], "queued", 1.0)
    lanes = {f"{number}{wide}": 1 for number in range(100)}
    desk.status = lambda: replace(STATUS, lanes=lanes, items=(item,) * 20)  # type: ignore[method-assign]
    with serving(run_dir, desk) as (_, path), client(path) as watching, watching.makefile("rb") as stream:
        watching.sendall(line(verb="watch"))
        for _ in range(2):
            assert len(json.loads(stream.readline())["status"]["lanes"]) == 100
    with socket.socket(socket.AF_UNIX) as any_socket:
        room = any_socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    assert len(json.dumps(desk.status().as_dict())) < 0.8 * room


def test_the_last_events_are_told_before_the_end(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk(), closes=False) as (control, path), client(path) as watching:
        watch(watching)
        control.tell(event("the last", "end"))
        control.close()
        assert events(watching, 1) == ["the last"]
        while heard(watching):
            pass  # a status may have come in between; then the end


def test_one_who_leaves_is_forgotten_and_one_who_talks_is_sent_away(run_dir: Path) -> None:
    with serving(run_dir, FakeDesk()) as (control, path):
        with client(path) as leaving:
            watch(leaving)
        with client(path) as talking:
            watch(talking)
            talking.sendall(line(verb="stop"))
            while heard(talking):
                pass
        assert eventually(lambda: not list(control._watchers))


def test_one_who_does_not_read_is_dropped_and_the_others_hear_everything(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serving(run_dir, FakeDesk()) as (control, path), client(path) as deaf, client(path) as reader:
        watch(deaf)
        watch(reader)
        number = 0
        while len(list(control._watchers)) == 2 and number < 10_000:
            control.tell(event(f"{number} " + "x" * 4000))
            assert events(reader, 1)[0].startswith(f"{number} ")
            number += 1
        assert len(list(control._watchers)) == 1
    assert "a watcher that does not read was dropped" in caplog.text


def test_a_hundred_watch_at_once_and_a_stop_is_heard_beside_them(run_dir: Path) -> None:
    desk = FakeDesk()
    with serving(run_dir, desk) as (control, path), ExitStack() as stack:
        all_of_them = [stack.enter_context(client(path)) for _ in range(100)]
        for watching in all_of_them:
            watch(watching)
        control.tell(event("to all"))
        with client(path) as asking:
            asking.sendall(line(verb="stop"))
            assert eventually(lambda: desk.requests)
            desk.unanswered[0](Verdict(True, "stopping"))
            assert heard(asking)["ok"]
        assert [events(watching, 1) for watching in all_of_them] == [["to all"]] * 100


def test_there_is_a_most_of_them(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "MOST", 2)
    with serving(run_dir, FakeDesk()) as (_, path), ExitStack() as stack:
        for _ in range(2):
            watch(stack.enter_context(client(path)))
        with client(path) as one_more:
            one_more.sendall(line(verb="watch"))
            assert heard(one_more)["error"] == "busy"


def test_a_status_that_fails_ends_the_stream_and_not_the_socket(
    run_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = FakeDesk()
    with serving(run_dir, desk) as (control, path), client(path) as watching:
        watch(watching)
        desk.broken = True
        control.tell(event())
        while heard(watching):
            pass
        desk.broken = False
        with client(path) as asking:
            watch(asking)
    assert "nothing more can be told to those who watch" in caplog.text


class Stuck(FakeDesk):
    """Its status hangs, once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs, self.inside, self.end = False, threading.Event(), threading.Event()

    def status(self) -> Status:
        if self.hangs:
            self.inside.set()
            assert self.end.wait(20)
        return super().status()


def test_telling_never_waits_whatever_our_thread_does(run_dir: Path) -> None:
    desk = Stuck()
    with serving(run_dir, desk) as (control, path), client(path) as watching:
        watch(watching)
        desk.hangs = True
        control.tell(event("0"))
        assert desk.inside.wait(20)
        for number in range(1, 50_000):  # more than the wake-up pipe and the backlog take
            control.tell(event(str(number)))
        desk.hangs = False
        desk.end.set()
        assert events(watching, 2) == ["0", str(50_000 - watchers.BACKLOG)]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells who asks on Linux")
def test_a_request_names_the_command_of_the_process_that_asked(run_dir: Path) -> None:
    desk = FakeDesk(Verdict(True, "stopping"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = str(run_dir / "x.sock")
        listener.bind(path)
        listener.listen()
        control = ControlServer(listener, desk, known=known)
        control.start()
        program = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[2]);"
            's.sendall(b\'{"v": 1, "verb": "stop"}\\n\'); s.recv(4096)'
        )
        # The program by its standard input: what is looked for must not lie behind the 200th character.
        words = [sys.executable, "-", "evil\nline\x1b[31m", path]
        asking = subprocess.Popen(words, stdin=subprocess.PIPE, text=True)
        asking.communicate(program, timeout=20)
        assert asking.returncode == 0
        control.close()
    peer = desk.requests[0].peer
    assert peer is not None and (peer.pid, peer.uid) == (asking.pid, os.getuid())
    assert r" evil\nline" in peer.command and peer.command.isprintable() and len(peer.command) <= 200


def test_a_process_that_is_not_the_one_that_connected_has_no_command() -> None:
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ask = known(gone.pid)
    assert eventually(lambda: "input()" in ask()) or sys.platform != "linux"
    gone.communicate(b"\n")
    assert ask() == ""
    assert known(0)() == "" and known(2**31 - 1)() == ""
