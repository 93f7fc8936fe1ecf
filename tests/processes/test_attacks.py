"""What broke an earlier version, each with the program that broke it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from speaking import ROOT, gateway, python, started

from gatewaylock import GatewayLock

IN_PROCESS = "dict(restart_mode='in-process', allow_sigusr1=True, limits=Limits(drain=0.2))"
AT_THE_EXEC = """
import signal
import gatewaylock.system.image as image
flush = image.flush
def late(): flush(); {0}
if gateway.life == 1: image.flush = late
"""


def restart(run_dir: Path, name: str = "lives") -> subprocess.CompletedProcess[str]:
    return gateway("restart", "--run-dir", run_dir, "--name", name)


def test_a_foreign_signal_at_the_instant_of_the_exec_is_no_stop(run_dir: Path) -> None:
    kill = "signal.signal(signal.SIGHUP, lambda *a: None); os.kill(os.getpid(), signal.SIGHUP)"
    with python("lives.py", run_dir, START=AT_THE_EXEC.format(kill)) as said:
        said.hears("serving")
        assert "life 2 serves" in restart(run_dir).stdout
        assert "life 3 serves" in restart(run_dir).stdout


def test_a_stop_that_another_thread_caught_at_the_instant_of_the_exec_stops_the_next_start(
    run_dir: Path,
) -> None:
    kill = (
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM]); os.kill(os.getpid(), signal.SIGTERM)"
    )
    start = AT_THE_EXEC.format(kill) + "\nif gateway.life == 2: gateway.stop_requested.wait(60)"
    with python("lives.py", run_dir, START=start) as said:
        said.hears("serving")
        restart(run_dir)
        assert said.ends() == 0


def test_a_stop_ignored_by_the_seeds_rule_does_not_wedge_the_next_life(run_dir: Path) -> None:
    options = "dict(restart_mode='in-process', escalate=False)"
    with python("lives.py", run_dir, OPTIONS=options, CLOSE="gateway.life == 1 and hold.wait()") as said:
        said.hears("serving")
        gateway("restart", "--no-wait", "--run-dir", run_dir, "--name", "lives")
        said.hears("close")
        assert gateway("stop", "--run-dir", run_dir, "--name", "lives").returncode == 1
        said.hears("during shutdown; ignoring")
        said.do("hold.set()")
        said.hears("serving: .* life=2")


def test_out_of_descriptors_it_still_stops_and_restarts(run_dir: Path) -> None:
    full = """
import resource
if gateway.life == 1:
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
    keep = []
    try:
        while True: keep.append(os.open('/dev/null', 0))
    except OSError: pass
"""
    with python("lives.py", run_dir, OPTIONS=IN_PROCESS, START=full) as said:
        said.hears("serving")
        said.signal(signal.SIGUSR1)
        said.hears("serving: .* life=2")
        said.signal(signal.SIGTERM)
        assert said.ends() == 0


def test_without_another_thread_it_still_stops_and_restarts(run_dir: Path) -> None:
    none_left = """
def fails(self): raise RuntimeError("can't start new thread")
threading.Thread.start = fails
"""
    with python("lives.py", run_dir, OPTIONS=IN_PROCESS, START=none_left) as said:
        said.hears("serving")
        said.signal(signal.SIGUSR1)
        said.hears("serving: .* life=2")
        said.signal(signal.SIGTERM)
        assert said.ends() == 0


def test_a_forked_worker_ends_by_sigterm_and_writes_nothing_into_its_files(run_dir: Path) -> None:
    forks = """
child = os.fork()
if not child:
    files = [os.open('/dev/null', os.O_RDWR) for _ in range(12)]
    signal.pause()
os.kill(child, signal.SIGTERM)
say('worker ended with', os.waitpid(child, 0)[1], flush=True)
"""
    with python("lives.py", run_dir, START="import signal\n" + forks) as said:
        said.hears("worker ended with 15")


def test_start_that_runs_asyncio_does_not_make_us_deaf(run_dir: Path) -> None:
    takes_the_descriptor = "import signal; signal.set_wakeup_fd(-1)"
    with python("lives.py", run_dir, START=takes_the_descriptor) as said:
        said.hears("serving")
        said.signal(signal.SIGTERM)
        assert said.ends() == 0


@pytest.mark.parametrize("mode", ["exec", "in-process"])
def test_a_listener_closed_by_the_application_is_bound_again(run_dir: Path, mode: str) -> None:
    options = f"dict(restart_mode={mode!r})"
    start = "global s; s = gateway.listen('127.0.0.1', 0)"
    with python("lives.py", run_dir, OPTIONS=options, START=start, CLOSE="s.close()") as said:
        said.hears("serving")
        for life in (2, 3):
            assert f"life {life} serves" in restart(run_dir).stdout
        assert gateway("status", "--run-dir", run_dir, "--name", "lives").returncode == 0


@pytest.mark.parametrize("mode", ["exec", "in-process"])
def test_a_wiped_run_directory_costs_no_life(run_dir: Path, mode: str) -> None:
    where = run_dir / "inner"
    options = f"dict(restart_mode={mode!r}, allow_sigusr1=True)"
    with python("lives.py", where, OPTIONS=options) as said:
        said.hears("serving")
        shutil.rmtree(where)
        said.signal(signal.SIGUSR1)
        said.hears("serving: .* life=2")
        said.signal(signal.SIGTERM)
        assert said.ends() == 0


def test_a_run_directory_that_others_can_write_to_refuses_the_exec(run_dir: Path) -> None:
    with python("lives.py", run_dir, OPTIONS="dict(allow_sigusr1=True)") as said:
        said.hears("serving")
        run_dir.chmod(0o777)
        said.signal(signal.SIGUSR1)
        said.hears("restart refused, this gateway still serves")
        run_dir.chmod(0o700)
        said.signal(signal.SIGUSR1)
        said.hears("serving: .* life=2")


def test_a_program_that_changes_its_name_over_an_exec_is_another_gateway(
    run_dir: Path, tmp_path: Path
) -> None:
    program = tmp_path / "renames.py"
    text = """
import logging, signal, sys
from gatewaylock import Gateway
logging.basicConfig(stream=sys.stdout, level="INFO")
class Server:
    def close(self, reason, *, restart_expected_ms): pass
raise SystemExit(Gateway({name!r}, run_dir=sys.argv[1], allow_sigusr1=True).run(lambda gateway: Server()))
"""
    program.write_text(text.format(name="first"))
    with started(sys.executable, program, run_dir) as said:
        said.hears("name=first")
        program.write_text(text.format(name="second"))
        said.signal(signal.SIGUSR1)
        said.hears("name=second")
        with GatewayLock("first", run_dir=str(run_dir)) as lock:
            assert lock.held
        said.signal(signal.SIGTERM)
        assert said.ends() == 0


@pytest.mark.parametrize(
    "child", ["os.fork() or signal.pause()", "subprocess.Popen(['sleep', '60'], close_fds=False)"]
)
def test_children_started_before_the_gateway_do_not_keep_its_name_over_an_exec(
    run_dir: Path, tmp_path: Path, child: str
) -> None:
    program = tmp_path / "early.py"
    program.write_text(f"""
import os, signal, subprocess, sys, logging
from gatewaylock import Gateway
logging.basicConfig(stream=sys.stdout, level="INFO")
{child}
class Server:
    def close(self, reason, *, restart_expected_ms): pass
raise SystemExit(Gateway("early", run_dir=sys.argv[1], allow_sigusr1=True).run(lambda gateway: Server()))
""")
    with started(sys.executable, program, run_dir) as said:
        said.hears("serving")
        said.signal(signal.SIGUSR1)
        said.hears("life=2")
        said.popen.kill()
        said.popen.wait()
        with GatewayLock("early", run_dir=str(run_dir)) as lock:
            assert lock.held


def test_a_second_stop_while_it_leaves_does_not_kill_it(run_dir: Path) -> None:
    again = "import atexit, signal; atexit.register(lambda: (os.kill(os.getpid(), signal.SIGTERM), say('bye', flush=True)))"
    with python("lives.py", run_dir, START=again) as said:
        said.hears("serving")
        said.signal(signal.SIGTERM)
        said.hears("bye")
        assert said.ends() == 0


def test_a_log_handler_that_cannot_flush_does_not_keep_the_next_image_away(run_dir: Path) -> None:
    bad = """
class Bad(logging.Handler):
    def emit(self, record): pass
    def flush(self): raise RuntimeError("sink is gone")
logging.getLogger().addHandler(Bad())
"""
    with python("lives.py", run_dir, START=bad) as said:
        said.hears("serving")
        assert "life 2 serves" in restart(run_dir).stdout


def test_combined_interpreter_flags_survive(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "mygw").mkdir()
    shutil.copy(ROOT / "tests/programs/lives.py", tmp_path / "mygw/__main__.py")
    with started(sys.executable, "-um", "mygw", run_dir, cwd=tmp_path) as said:
        said.hears("serving")
        assert "life 2 serves" in restart(run_dir).stdout


@pytest.mark.parametrize(
    "deaf", ["signal.signal(signal.SIGALRM, signal.SIG_IGN)", "signal.pthread_sigmask(0, [14])"]
)
def test_an_image_that_hangs_before_its_gateway_is_ended_whatever_the_program_did_to_the_alarm(
    run_dir: Path, tmp_path: Path, deaf: str
) -> None:
    hangs = tmp_path / "hangs"
    start = f"import signal; {deaf}"
    options = (
        f"dict(allow_sigusr1=True, limits=Limits(start=1)) if not os.path.exists({str(hangs)!r}) or "
        "'GATEWAYLOCK_PREFLIGHT' in os.environ else threading.Event().wait()"
    )
    with python("lives.py", run_dir, OPTIONS=options, START=start) as said:
        said.hears("serving")
        hangs.touch()
        said.signal(signal.SIGUSR1)
        assert said.ends() == -signal.SIGALRM


def test_no_proof_outlives_a_gateway_that_was_killed(run_dir: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    options = (
        "(open(os.environ['MARK'], 'w').write(str(os.getpid())), threading.Event().wait()) "
        "if 'GATEWAYLOCK_PREFLIGHT' in os.environ else dict(allow_sigusr1=True, limits=Limits(preflight=1))"
    )
    with python("lives.py", run_dir, OPTIONS=options, MARK=str(mark)) as said:
        said.hears("serving")
        said.signal(signal.SIGUSR1)
        while not (mark.exists() and mark.read_text()):
            os.sched_yield()
        proof = os.pidfd_open(int(mark.read_text()))
        said.popen.kill()
        assert select.select([proof], [], [], 20)[0], "still there"
        os.close(proof)
