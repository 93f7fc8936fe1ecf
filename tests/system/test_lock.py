from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from speaking import PROGRAMS, environment, python

from gatewaylock import ConfigError, GatewayLock, GatewayLockError, RunDirError

pytestmark = pytest.mark.usefixtures("descriptors")


def lock(run_dir: Path) -> GatewayLock:
    return GatewayLock("name", run_dir=str(run_dir))


def refused(run_dir: Path, timeout: float = 0.0) -> GatewayLockError:
    with pytest.raises(GatewayLockError) as caught:
        lock(run_dir).acquire(timeout)
    return caught.value


def test_a_second_holder_is_refused_with_pid_age_and_command_of_the_first(run_dir: Path) -> None:
    with python("holds_lock.py", run_dir) as holder:
        holder.hears("ready")
        error = refused(run_dir)
    assert error.pid == holder.pid
    assert str(error).startswith(
        f"gateway already running (pid {holder.pid}); lock timeout after 0ms: held for 0 s"
    )
    assert "holds_lock.py" in str(error)


def test_the_lock_is_free_again_after_release_and_after_the_block(run_dir: Path) -> None:
    for _ in range(3):
        with lock(run_dir) as held:
            assert held.held
    assert not held.held


def test_a_waiter_gets_the_lock_when_the_holder_lets_go(run_dir: Path) -> None:
    first, second = lock(run_dir), lock(run_dir)
    first.acquire()
    waiting = threading.Thread(target=second.acquire, args=(20,))
    waiting.start()
    first.release()
    waiting.join(20)
    assert second.held
    second.release()


def test_kill_9_of_the_holder_frees_the_name_for_the_one_who_waits(run_dir: Path) -> None:
    with python("holds_lock.py", run_dir) as holder:
        holder.hears("ready")
        mine = lock(run_dir)
        threading.Timer(0.05, holder.popen.kill).start()
        mine.acquire(20)
    mine.release()


def test_a_waiter_that_gave_up_does_not_take_the_lock_later(run_dir: Path) -> None:
    first = lock(run_dir)
    first.acquire()
    refused(run_dir, 0.05)
    first.release()
    third = lock(run_dir)
    third.acquire(20)
    third.release()


@pytest.mark.parametrize("harm", ["unlink", "garbage", "replace", "wipe"])
def test_harm_to_the_lock_file_never_gives_a_second_holder(run_dir: Path, harm: str) -> None:
    where = run_dir / "inner"
    with lock(where) as held:
        file = Path(held.path)
        if harm == "unlink":
            file.unlink()
        elif harm == "garbage":
            file.write_bytes(b"\xff\0{" * 1000)
        elif harm == "replace":
            file.unlink()
            file.touch(0o600)
        else:
            file.unlink()
            where.rmdir()
        refused(where)
        refused(where, 0.05)


def test_who_waits_beside_a_deleted_file_gets_the_name_at_the_end_of_the_holder(run_dir: Path) -> None:
    with python("holds_lock.py", run_dir) as holder:
        holder.hears("ready")
        (run_dir / "name.lock").unlink()
        mine = lock(run_dir)
        threading.Timer(0.05, holder.popen.kill).start()
        mine.acquire(20)
        refused(run_dir)
    mine.release()


def test_the_holder_of_a_deleted_file_takes_the_new_one_before_its_next_life(run_dir: Path) -> None:
    with lock(run_dir) as held:
        os.unlink(held.path)
        held.ensure(1)
        assert os.path.exists(held.path)
        refused(run_dir)


def test_the_payload_describes_the_holder(run_dir: Path) -> None:
    with GatewayLock("name", run_dir=str(run_dir), port=80) as held:
        payload = json.loads(Path(held.path).read_text())
        assert {"pid", "created_at", "start_time", "name", "port"} <= set(payload)
        assert (payload["pid"], payload["name"], payload["port"]) == (os.getpid(), "name", 80)
        assert os.stat(held.path).st_mode & 0o777 == 0o600
    assert held.holder() is not None, "the text stays; it describes, it does not decide"


def test_a_payload_of_somebody_else_does_not_decide(run_dir: Path) -> None:
    (run_dir / "name.lock").write_text(json.dumps({"pid": 1, "start_time": None}))
    with lock(run_dir) as held:
        assert held.held


def test_a_forked_child_does_not_keep_the_name(run_dir: Path) -> None:
    """It is a program of its own: a fork of the tests' process, threads and all, would warn."""
    with python("forks.py", run_dir) as parent:
        parent.hears("ready")
        child = int(parent.hears(r"child (\d+)")[1])
        parent.popen.kill()
        parent.popen.wait()
        os.kill(child, 0)
        with lock(run_dir) as held:
            assert held.held


def test_a_subprocess_does_not_keep_the_name(run_dir: Path) -> None:
    with lock(run_dir):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with lock(run_dir):
        pass
    child.communicate(b"\n")


def test_an_adopted_descriptor_has_to_be_the_lock(run_dir: Path) -> None:
    with lock(run_dir) as held:
        stranger = os.open(os.devnull, os.O_RDONLY)
        second_open = os.open(held.path, os.O_RDWR)
        for fd in (stranger, second_open, -1, 987):
            assert not lock(run_dir).adopt(fd, -1)
        os.close(stranger)
        os.close(second_open)
        copy = lock(run_dir)
        assert copy.adopt(os.dup(held.descriptors()[0]), -1)
        copy.release()
        refused(run_dir)


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_what_a_neighbour_planted_in_place_of_the_file_is_refused(run_dir: Path, kind: str) -> None:
    planted = run_dir / "name.lock"
    if kind == "symlink":
        planted.symlink_to("/dev/null")
    elif kind == "fifo":
        os.mkfifo(planted)
    else:
        planted.mkdir()
    with pytest.raises(RunDirError, match=r"name\.lock"):
        lock(run_dir).acquire()


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "x" * 65, "a\n"])
def test_a_name_is_a_plain_file_name(run_dir: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        GatewayLock(name, run_dir=str(run_dir))


def test_a_full_disk_leaves_the_name_free(run_dir: Path, mocker: pytest.MonkeyPatch) -> None:
    mocker.patch("os.pwrite", return_value=3)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="No space left"):
        lock(run_dir).acquire()
    mocker.stopall()  # type: ignore[attr-defined]
    with lock(run_dir) as held:
        assert held.held


def test_64_starters_at_one_instant_give_one_holder_in_each_of_20_rounds(run_dir: Path) -> None:
    gate, opener = os.pipe()
    racers = [
        subprocess.Popen(
            [sys.executable, PROGRAMS / "races.py", str(run_dir), str(gate)],
            stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, pass_fds=[gate], env=environment(),
        )
        for _ in range(64)
    ]  # fmt: skip

    def all_say() -> list[str]:
        return [racer.stdout.readline().strip() for racer in racers if racer.stdout]

    try:
        assert set(all_say()) == {"ready"}
        for _ in range(20):
            os.write(opener, b"x" * 64)  # one write wakes them all
            assert sorted(all_say()) == ["held"] + ["refused"] * 63
            for racer in racers:
                assert racer.stdin
                racer.stdin.write("again\n")
                racer.stdin.flush()
            assert set(all_say()) == {"ready"}
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
        os.close(gate)
        os.close(opener)


@pytest.mark.parametrize("step", ["open", "lock", "guard", "write", "held"])
def test_kill_9_at_any_step_of_a_start_frees_the_name(run_dir: Path, step: str) -> None:
    with python("dies_at.py", run_dir, step) as starter:
        assert starter.ends() == -9
    with lock(run_dir) as held:
        assert held.held
