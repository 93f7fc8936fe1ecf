"""The history: whole lines, whatever dies, fills up or is planted there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from speaking import environment

from gatewaylock.system import history
from gatewaylock.system.history import LINE, SIZE, History, still_runs
from gatewaylock.system.process import start_time
from gatewaylock.system.rundir import RunDir

#: what is JSON, and cannot be added to a time, shown as a date or read without an end
STRANGE = [
    b"[" * 100_000,
    b'{"at": ' + b"1" * 400 + b"}",
    b'{"at": 1e300}',
    b'{"at": -1e18}',
    b'{"at": NaN}',
    b'{"at": 2, "account": {"took": Infinity}}',
    b'{"at": 2, "took": 1e999}',
    b'{"at": "now"}',
]


@pytest.fixture
def diary(run_dir: Path) -> History:
    return History(RunDir.open(str(run_dir)), "g")


def test_what_is_added_is_read_in_order_and_private(diary: History, run_dir: Path) -> None:
    for number in range(3):
        diary.add({"at": number, "event": "start"})
    assert [record["at"] for record in diary.records()] == [0, 1, 2]
    assert (run_dir / "g.history").stat().st_mode & 0o777 == 0o600


def test_there_may_be_none(diary: History) -> None:
    assert diary.records() == []


def test_a_torn_line_costs_itself_alone(diary: History, run_dir: Path) -> None:
    diary.add({"at": 1})
    with (run_dir / "g.history").open("a") as file:
        file.write('{"at": 2, "eve')
    diary.add({"at": 3})
    assert [record["at"] for record in diary.records()] == [1, 3]


@pytest.mark.parametrize("line", STRANGE, ids=lambda line: line[:30].decode())
def test_what_no_gateway_has_written_is_passed_over(diary: History, run_dir: Path, line: bytes) -> None:
    diary.add({"at": 1})
    with (run_dir / "g.history").open("ab") as file:
        file.write(line + b"\n")
    diary.add({"at": 3})
    assert [record["at"] for record in diary.records()] == [1, 3]


def test_lines_are_bounded_whatever_is_said(diary: History, run_dir: Path) -> None:
    diary.add({"at": 1, "text": "\x1b\n\u2028" * 100_000, "left": ["x" * 10_000] * 100, "why": "y" * 10_000})
    [line] = (run_dir / "g.history").read_bytes().splitlines()
    assert len(line) < LINE and json.loads(line)["at"] == 1


def test_it_is_rotated_and_the_older_half_still_read(
    diary: History, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SIZE", 2000)
    for number in range(100):
        diary.add({"at": number, "text": "x" * 50})
    found = [record["at"] for record in diary.records()]
    assert found == list(range(found[0], 100)) and 20 < len(found) < 90
    assert sorted(path.name for path in run_dir.iterdir()) == ["g.history", "g.history.1"]


def test_many_writers_lose_no_line(run_dir: Path) -> None:
    program = f"""
import sys
from gatewaylock.system.history import History
from gatewaylock.system.rundir import RunDir
diary = History(RunDir.open({str(run_dir)!r}), "g")
for number in range(200): diary.add({{"at": number, "who": sys.argv[1], "text": "x" * 450}})
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(who)], env=environment()) for who in range(3)
    ]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    older, newer = (run_dir / "g.history.1").stat().st_size, (run_dir / "g.history").stat().st_size
    assert older >= SIZE and 0 < newer < SIZE, "it was rotated once, by one of them"
    records = History(RunDir.open(str(run_dir)), "g").records()
    for who in range(3):
        assert [record["at"] for record in records if record["who"] == str(who)] == list(range(200))


def test_who_writes_while_another_one_rotates_does_not_replace_the_older_half(
    diary: History, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process comes between the look of this one and what it does then."""
    monkeypatch.setattr(history, "SIZE", 2000)
    looks = RunDir.is_linked
    other = History(RunDir.open(str(run_dir)), "g")

    def is_linked(self: RunDir, name: str, fd: int) -> bool:
        found = looks(self, name, fd)
        monkeypatch.setattr(RunDir, "is_linked", looks)
        for number in range(100, 103):
            other.add({"at": number})
        return found

    monkeypatch.setattr(RunDir, "is_linked", is_linked)
    diary.add({"at": 1, "text": "x" * 1000})
    diary.add({"at": 2, "text": "x" * 1000})
    diary.add({"at": 3})
    assert [record["at"] for record in diary.records()] == [1, 2, 100, 101, 102, 3]
    assert (run_dir / "g.history.1").stat().st_size > 2000


@pytest.mark.parametrize("plant", ["symlink", "fifo", "directory"])
def test_what_is_planted_there_is_not_written_to_and_harms_nothing(
    diary: History, run_dir: Path, tmp_path: Path, plant: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, victim = run_dir / "g.history", tmp_path / "victim"
    victim.write_text("")
    {"symlink": lambda: path.symlink_to(victim), "fifo": lambda: os.mkfifo(path), "directory": path.mkdir}[
        plant
    ]()
    diary.add({"at": 1})
    diary.add({"at": 2})
    assert diary.records() == [] and victim.read_text() == ""
    assert caplog.text.count("the history is not written") == 1


@pytest.mark.usefixtures("descriptors")
def test_a_full_disk_is_told_once(
    diary: History, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary.add({"at": 1})

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        diary.add({"at": 2})
        diary.add({"at": 3})
    diary.add({"at": 4})
    assert [record["at"] for record in diary.records()] == [1, 4]
    assert caplog.text.count("No space left") == 1


def test_a_pid_is_trusted_with_its_start_time_alone() -> None:
    me = os.getpid()
    assert still_runs({"pid": me, "started": start_time(me)})
    assert not still_runs({"pid": me, "started": 1})
    assert not still_runs({"pid": me}) and not still_runs({"pid": -1, "started": 1}) and not still_runs({})


def test_threads_may_write_at_once(diary: History) -> None:
    threads = [threading.Thread(target=diary.add, args=({"at": number},)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record["at"] for record in diary.records()) == list(range(20))
