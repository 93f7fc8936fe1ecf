"""Restarts with a fresh pid, and what no restart may leave behind."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from speaking import PROGRAMS, Program, eventually, gateway, gateway_argv, python, started
from torture import after_restarts, flooded, is_free, killed, page, pids, serves

FRESH = ["spawn", "overlap"]
EVERY = ["exec", *FRESH]


@pytest.mark.parametrize("mode", FRESH)
def test_a_restart_has_a_fresh_pid_and_the_old_one_exits_0(run_dir: Path, mode: str) -> None:
    with page(run_dir, mode, "--probation", "0.1") as old:
        done = gateway("restart", "--run-dir", run_dir)
        assert "life 2 serves" in done.stdout, done.stderr
        assert old.popen.wait(20) == 0
        [new] = pids(run_dir)
        assert new != old.pid and f"(pid {new})" in done.stdout
        assert os.getsid(new) == new, "a session of its own"
        assert gateway("stop", "--run-dir", run_dir).stdout == "stopped\n"
        assert eventually(lambda: not pids(run_dir))
        assert is_free(run_dir)


@pytest.mark.parametrize("mode", EVERY)
def test_the_name_is_never_free_during_restarts(run_dir: Path, mode: str) -> None:
    """A gateway that waits in a blocking flock would get it in the first instant in which it is."""
    words = gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--lock-timeout", "300")
    with page(run_dir, mode, "--probation", "0"), started(*words) as waiting:
        for _ in range(6):
            assert gateway("restart", "--run-dir", run_dir).returncode == 0
        assert waiting.lines == []
        assert gateway("stop", "--run-dir", run_dir).returncode == 0
        waiting.hears("serving")


@pytest.mark.parametrize("mode", EVERY)
@pytest.mark.parametrize("seed", range(3))
def test_kill_9_at_any_moment_leaves_a_gateway_or_a_free_name(run_dir: Path, mode: str, seed: int) -> None:
    assert killed(run_dir, mode, seed) in ("serves", "free")


@pytest.mark.parametrize("mode", EVERY)
@pytest.mark.parametrize("seed", range(2))
def test_a_storm_of_signals_leaves_it_alive_or_cleanly_stopped(run_dir: Path, mode: str, seed: int) -> None:
    assert flooded(run_dir, mode, seed) == ("serves" if seed % 2 else "stopped")


@pytest.mark.parametrize("mode", ["exec", "spawn", "in-process"])
def test_restarts_leave_no_descriptor_and_no_thread_behind(run_dir: Path, mode: str) -> None:
    (_, early), (_, late) = after_restarts(run_dir, mode, (2, 7))
    assert (early["descriptors"], early["threads"]) == (late["descriptors"], late["threads"])


@pytest.mark.parametrize("mode", FRESH)
def test_a_stop_of_either_process_stops_both(run_dir: Path, mode: str) -> None:
    for turn in range(4):
        with page(run_dir, mode, "--probation", "5") as old:
            gateway("restart", "--no-wait", "--run-dir", run_dir)
            assert eventually(lambda: len(pids(run_dir)) > 1 or old.popen.poll() is not None)
            for pid in sorted(pids(run_dir), key=lambda pid: pid == old.pid)[:1] if turn % 2 else [old.pid]:
                os.kill(pid, signal.SIGTERM)
            gateway("stop", "--run-dir", run_dir)
            assert eventually(lambda: not pids(run_dir), 15), old.text()


@pytest.mark.parametrize(("stops", "code"), [(3, 143), (1, 0)], ids=["at once", "by force"])
def test_a_stop_that_ends_the_old_process_early_is_no_turn_for_its_successor(
    run_dir: Path, stops: int, code: int
) -> None:
    options = "dict(restart_mode='spawn', allow_sigusr1=True, limits=Limits(stop=0.5))"
    start = "gateway.life == 1 and gateway.lanes.submit(hold.wait)"
    with alone(run_dir, START=start, OPTIONS=options, CLOSE="hold.wait()") as said:
        said.hears("serving: ")
        said.signal(signal.SIGUSR1)
        said.hears("draining 1 .* before restart")
        for _ in range(stops):
            said.signal(signal.SIGTERM)
            said.hears("signal SIGTERM received")
        assert said.popen.wait(20) == code
        assert eventually(lambda: is_free(run_dir, "lives")), said.text()
        assert "life=2" not in said.text()


def test_a_stop_that_the_successor_has_obeyed_is_one_for_both_whatever_is_ignored(run_dir: Path) -> None:
    options = "dict(restart_mode='spawn', escalate=False, allow_sigusr1=True)"
    start = "gateway.life == 2 and (say('starts as', os.getpid()), gateway.stop_requested.wait(60))"
    with alone(run_dir, START=start, OPTIONS=options) as said:
        said.hears("serving: ")
        said.signal(signal.SIGUSR1)
        os.kill(int(said.hears(r"starts as (\d+)")[1]), signal.SIGTERM)
        said.hears("received stop of the successor during restart; stopping instead")
        assert said.popen.wait(20) == 0
        assert is_free(run_dir, "lives")


def test_the_old_process_killed_while_the_successor_is_warm_leaves_it_the_gateway(
    run_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(
        "import threading\nfrom gatewaylock.serve import serve, status_app\nclass Slow:\n"
        "    def __init__(self, server): self.server = server\n"
        "    def close(self, reason, *, restart_expected_ms): print('closing', flush=True); threading.Event().wait()\n"
        "def start(gateway): return Slow(serve(gateway, status_app(gateway), [gateway.listen('127.0.0.1', 0)]))\n"
    )
    words = gateway_argv("run", "slow:start", "--factory", "--run-dir", run_dir, "--restart-mode", "spawn")
    with started(*words, cwd=tmp_path) as old:
        old.hears("serving")
        gateway("restart", "--no-wait", "--run-dir", run_dir)
        old.hears("closing")
        old.popen.kill()
        old.popen.wait()
        assert eventually(lambda: serves(run_dir))
        assert len(pids(run_dir)) == 1 and not is_free(run_dir)
        os.kill(pids(run_dir)[0], signal.SIGKILL)


#: a child of the application that outlives whoever forked it, and holds what it got by that
FORKS = """
def fork():
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    say("forked", pid)
Server.pause = Server.resume = lambda self: None
"""


@contextmanager
def forking(run_dir: Path, start: str, options: str, before: str = "") -> Iterator[Program]:
    """One of FORKS that serves; all its successors and their children are killed at the end."""
    env = {"START": start, "BEFORE": before, "OPTIONS": f"dict({options}, allow_sigusr1=True)"}
    with alone(run_dir, **env) as said:
        said.hears("serving: ")
        said.signal(signal.SIGUSR1)
        yield said


@contextmanager
def alone(run_dir: Path, **env: str) -> Iterator[Program]:
    """One of lives.py; what it leaves, in sessions of their own, is killed at the end."""
    with python("lives.py", run_dir, **env) as said:
        try:
            yield said
        finally:
            while left := pids(run_dir, str(PROGRAMS / "lives.py")):
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def test_a_child_of_the_old_process_does_not_hide_its_end_from_the_successor(run_dir: Path) -> None:
    start = FORKS + "gateway.life == 1 and gateway.lanes.submit(threading.Event().wait)"
    with forking(run_dir, start, "restart_mode='spawn'") as old:
        old.hears("draining 1")
        old.do("fork()")
        old.hears("forked")
        old.popen.kill()
        old.hears("the gateway is ours", 10)
        old.hears("serving: .*life=2", 10)


def test_a_child_of_the_successor_does_not_hide_its_end_in_the_probation(run_dir: Path) -> None:
    start = (
        FORKS
        + "gateway.life == 2 and threading.Timer(0.2, lambda: (fork(), os.kill(os.getpid(), 9))).start()"
    )
    with forking(run_dir, start, "restart_mode='overlap', probation=30") as old:
        old.hears("forked")
        old.hears("falling back to in-process restart", 10)
        assert old.popen.poll() is None


@pytest.mark.parametrize("mode", ["exec", "spawn"])
def test_a_child_forked_before_the_next_image_runs_does_not_keep_the_name(run_dir: Path, mode: str) -> None:
    before = FORKS + "if gateway.life: fork()"
    with forking(run_dir, "", f"restart_mode={mode!r}", before) as said:
        said.hears("forked")
        serving = int(said.hears(r"serving: .*pid=(\d+) life=2")[1])
        assert serving == said.pid or said.popen.wait(20) == 0, "the old one would take it back"
        os.kill(serving, signal.SIGKILL)
        assert eventually(lambda: is_free(run_dir, "lives"), 5)


def test_the_limit_of_the_start_does_not_cut_the_probation(run_dir: Path) -> None:
    start = FORKS + "gateway.life == 2 and threading.Timer(2, os.kill, (os.getpid(), 9)).start()"
    with forking(run_dir, start, "restart_mode='overlap', probation=30, limits=Limits(start=1.5)") as old:
        old.hears("serving: .*life=2")
        old.hears("falling back to in-process restart", 10)
        assert old.popen.poll() is None


#: as a child of the application that is forked while the helper runs: it holds the helper's input
HOLDS = """
import gatewaylock.system.successor as room
real = room.Successor._helper
def helper(self, *what):
    found = real(self, *what)
    fork()
    return found
if gateway.life == 1:
    room.Successor._helper = helper
"""


def test_a_child_forked_during_the_proof_does_not_hold_it(run_dir: Path) -> None:
    start, options = FORKS + HOLDS, "restart_mode='spawn', limits=Limits(preflight=5)"
    with forking(run_dir, start, options) as old:
        old.hears("forked")
        old.hears("serving: .*life=2", 10)


def test_late_requests_become_one_more_restart_with_every_reason_as_the_last_has_asked(run_dir: Path) -> None:
    with page(run_dir, "overlap", "--probation", "1") as said:
        gateway("restart", "--no-wait", "--run-dir", run_dir, "--reason", "first")
        said.hears("life=2")  # the successor has loaded its version: what is asked now is not in it
        for reason in ("second", "third"):
            os.kill(said.pid, 0)
            assert serves(run_dir)
            words = ("--reason", reason, "--mode", "in-process")
            gateway("restart", "--no-wait", "--run-dir", run_dir, *words)
        said.hears("reason given: .*second; third")
        said.hears(r"restart mode: in-process restart \(asked for\)")
        said.hears("life=3")
        said.hears(
            r"restart done in .*asked by gateway restart \(pid \d+, .* third .*because of 'second; third'"
        )
        assert eventually(lambda: serves(run_dir))


@pytest.mark.parametrize("mode", FRESH)
def test_a_request_while_the_successor_loads_is_not_answered_by_what_it_has_loaded(
    run_dir: Path, mode: str
) -> None:
    """The versions: one that serves, two that do not load, one that does; the second has been read by then."""
    version = run_dir / "version"
    version.write_text("")
    before = (
        "Server.pause = Server.resume = lambda self: None\n"
        f"version = open({str(version)!r}).read()\nsay('read', version)\n"
        "'slow' in version and [gate := open(version.split()[1]), gate.read(), exit(1)]"
    )
    gate = run_dir / "gate"
    os.mkfifo(gate)
    options = f"dict(restart_mode={mode!r}, allow_sigusr1=True, probation=0.1)"
    with alone(run_dir, BEFORE=before, OPTIONS=options) as said:
        said.hears("serving: ")
        version.write_text(f"slow {gate}")
        said.do("gateway.request_restart('one')")
        said.hears("read slow")
        version.write_text("fixed")
        for reason in ("two", "three"):
            said.do(f"say(gateway.request_restart({reason!r}))")
        said.hears("received .*; one more follows")
        said.hears("received .*; one more follows")
        with open(gate, "w"):
            pass
        said.hears("restart refused, this gateway still serves")
        said.hears("reason given: 'two; three'")
        said.hears("read fixed")
        pid = int(said.hears(r"serving: .*pid=(\d+) life=2")[1])
        assert said.popen.wait(20) == 0
        os.kill(pid, signal.SIGTERM)
        assert eventually(lambda: is_free(run_dir, "lives"))


@pytest.mark.parametrize("mode", FRESH)
def test_a_version_that_hangs_before_its_gateway_does_not_keep_the_name_of_one_that_was_killed(
    run_dir: Path, mode: str
) -> None:
    mark = run_dir / "mark"
    options = (
        "(open(os.environ['MARK'], 'w').write(str(os.getpid())), threading.Event().wait()) "
        f"if 'GATEWAYLOCK_HANDOFF' in os.environ else dict(restart_mode={mode!r}, limits=Limits(preflight=2))"
    )
    before = "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN)"
    with alone(run_dir, OPTIONS=options, BEFORE=FORKS + before, MARK=str(mark)) as said:
        said.hears("serving: ")
        said.do("gateway.request_restart()")
        assert eventually(lambda: mark.exists() and mark.read_text())
        successor = os.pidfd_open(int(mark.read_text()))
        said.popen.kill()
        ended = select.select([successor], [], [], 20)[0]
        os.close(successor)
        assert ended, "still there"
        assert eventually(lambda: is_free(run_dir, "lives"))


@pytest.mark.parametrize("mode", EVERY)
def test_a_reason_of_any_length_costs_no_fresh_image(run_dir: Path, mode: str) -> None:
    """The next image gets it in its environment, where 128 KiB are too many."""
    before = "Server.pause = Server.resume = lambda self: None"
    options = f"dict(restart_mode={mode!r}, probation=0)"
    with alone(run_dir, BEFORE=before, OPTIONS=options) as said:
        said.hears("serving: ")
        said.do("gateway.request_restart('x' * 200_000)")
        said.hears("serving: .*life=2")
        assert "reason given: 'xxx" in said.text() and "WARNING" not in said.text()


def test_who_is_refused_work_in_an_overlap_is_told_to_leave_as_well(run_dir: Path) -> None:
    """The server is paused before the lanes close, and these open again before it is resumed."""
    lanes = "say({!r}, gateway.lanes.submit(int, 7).result())"
    before = "\n".join(f"Server.{name} = lambda self: {lanes.format(name)}" for name in ("pause", "resume"))
    start = "if gateway.life == 2: raise RuntimeError('no')"
    with alone(run_dir, BEFORE=before, START=start, OPTIONS="dict(restart_mode='overlap')") as said:
        said.hears("serving: ")
        said.do("gateway.request_restart('a broken one')")
        said.hears("pause 7")
        said.hears("falling back")
        said.hears("resume 7")


@pytest.mark.parametrize("mode", FRESH)
def test_where_the_pid_must_stay_it_is_said_and_exec_takes_its_place(run_dir: Path, mode: str) -> None:
    """A shell that becomes "supervise", as daemontools names its watcher."""
    words = gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--restart-mode", mode)
    watcher = run_dir / "supervise"
    watcher.symlink_to("/bin/sh")
    quoted = " ".join(f"'{word}'" for word in words)
    with started(watcher, "-c", f"{quoted}; echo over") as said:
        said.hears("WARNING .*a supervisor: it watches this pid.*exec")
        said.hears("serving")
        assert "life 2 serves" in gateway("restart", "--run-dir", run_dir).stdout
        said.hears(r"restart mode: full process restart .exec")
        gateway("stop", "--run-dir", run_dir)
