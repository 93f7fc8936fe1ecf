"""What the seed's file does, case by case, by name.  Real processes, real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from speaking import Program, python

from gatewaylock import GatewayLock, GatewayLockError

TERM, INT, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1
IN_PROCESS = "restart_mode='in-process', "
ALLOWED = "allow_sigusr1=True, "
QUICK = "limits=Limits(drain=0.3, shutdown=0.3, stop=0.3)"
FOREVER = "gateway.lanes.submit(threading.Event().wait); say('submitted', flush=True)"


def lives(
    run_dir: Path, options: str = "", *, start: str = "", close: str = ""
) -> AbstractContextManager[Program]:
    return python("lives.py", run_dir, OPTIONS=f"dict({options})", START=start, CLOSE=close)


def serving(said: Program, life: int = 1) -> None:
    said.hears(f"serving: name=lives pid={said.pid} life={life} ")


def held(run_dir: Path) -> bool:
    lock = GatewayLock("lives", run_dir=str(run_dir))
    try:
        lock.acquire(0)
    except GatewayLockError:
        return True
    lock.release()
    return False


@pytest.mark.parametrize("number", [TERM, INT])
def test_a_stop_signal_closes_the_server_and_exits_0(run_dir: Path, number: signal.Signals) -> None:
    with lives(run_dir) as said:
        serving(said)
        said.signal(number)
        said.hears(f"signal {number.name} received")
        said.hears(f"received {number.name}; shutting down")
        said.hears(r"close\('gateway stopping', restart_expected_ms=None\)")
        said.hears("code 0")
        assert said.ends() == 0
        assert not held(run_dir)


def test_second_signal_is_ignored_by_the_seeds_rule(run_dir: Path) -> None:
    with lives(run_dir, "escalate=False", close="sleeps(0.3)") as said:
        serving(said)
        said.signal(TERM)
        said.hears("close")
        said.signal(INT)
        said.hears("received SIGINT during shutdown; ignoring")
        said.hears("slept")
        assert said.ends() == 0


def test_second_signal_skips_the_rest_of_the_drain(run_dir: Path) -> None:
    with lives(run_dir, "limits=Limits(stop=60)") as said:
        serving(said)
        said.do(FOREVER)
        said.hears("submitted")
        said.signal(TERM)
        said.hears(r"draining 1 active task\(s\) and 0 active embedded run\(s\) before stop")
        said.signal(TERM)
        said.hears("received SIGTERM again; skipping the rest of the drain")
        said.hears("close")
        assert said.ends() == 0


@pytest.mark.parametrize(("last", "code"), [(TERM, 143), (INT, 130)])
def test_third_signal_exits_at_once(run_dir: Path, last: signal.Signals, code: int) -> None:
    with lives(run_dir, "limits=Limits(stop=60)", close="sleeps(60)") as said:
        serving(said)
        for number, heard in ((TERM, "close"), (TERM, "again"), (last, "a third time")):
            said.signal(number)
            said.hears(heard)
        assert said.ends() == code


def test_a_stop_turns_a_running_restart_into_a_stop(run_dir: Path) -> None:
    with lives(run_dir, ALLOWED + IN_PROCESS) as said:
        serving(said)
        said.do(FOREVER)
        said.hears("submitted")
        said.signal(USR1)
        said.hears("draining 1 .* before restart")
        said.signal(TERM)
        said.hears("received SIGTERM during restart; stopping instead")
        said.signal(TERM)
        said.hears(r"close\('gateway stopping', restart_expected_ms=None\)")
        assert said.ends() == 0


def test_unauthorised_sigusr1_is_ignored_with_a_warning(run_dir: Path) -> None:
    with lives(run_dir) as said:
        serving(said)
        said.signal(USR1)
        said.hears(r"WARNING SIGUSR1 restart ignored \(not authorized; ")
        said.signal(TERM)
        assert said.ends() == 0


def test_expired_permit_restarts_nothing(run_dir: Path) -> None:
    with lives(run_dir, IN_PROCESS) as said:
        serving(said)
        said.do("gateway.restarts.authorize(); gateway.restarts.authorize()")
        said.do("real = time.monotonic; time.monotonic = lambda: real() + 5.01; say('later', flush=True)")
        said.hears("later")
        said.signal(USR1)
        said.hears("SIGUSR1 restart ignored")
        said.signal(TERM)
        assert said.ends() == 0


def test_two_permits_are_two_restarts(run_dir: Path) -> None:
    with lives(run_dir, IN_PROCESS) as said:
        serving(said)
        said.do("gateway.restarts.authorize(); gateway.restarts.authorize(); say('given', flush=True)")
        said.hears("given")
        for life in (2, 3):
            said.signal(USR1)
            said.hears("signal SIGUSR1 received")
            said.hears("received SIGUSR1; restarting")
            said.hears(r"close\('gateway restarting', restart_expected_ms=1500\)")
            serving(said, life)
        said.signal(USR1)
        said.hears("SIGUSR1 restart ignored")


def test_a_permit_is_kept_when_a_shutdown_is_running(run_dir: Path) -> None:
    with lives(run_dir, IN_PROCESS, close="hold.wait()") as said:
        serving(said)
        said.do("gateway.restarts.authorize(); gateway.restarts.authorize(); say('given', flush=True)")
        said.hears("given")
        said.signal(USR1)
        said.hears("close")
        said.signal(USR1)
        said.hears("received SIGUSR1 during shutdown; ignoring")
        said.do("hold.set()")
        serving(said, 2)
        said.signal(USR1)
        said.hears("received SIGUSR1; restarting")


def test_first_start_fails_reaches_the_caller_and_frees_the_name(run_dir: Path) -> None:
    with lives(run_dir, start="raise OSError('no database')") as said:
        said.hears("OSError: no database")
        assert said.ends() == 1
        assert not held(run_dir)


def test_later_start_fails_parks_then_succeeds_with_the_lock_taken_again(run_dir: Path) -> None:
    fails_once = "gateway.life == 2 and 1 / 0"
    with lives(run_dir, ALLOWED + IN_PROCESS, start=fails_once) as said:
        serving(said)
        said.signal(USR1)
        text = "gateway startup failed: division by zero. Process will stay alive; fix the issue and restart."
        said.hears(f"ERROR {text}")
        said.hears("ZeroDivisionError")
        assert not held(run_dir)
        said.signal(USR1)
        serving(said, 3)
        assert held(run_dir)


def test_sigterm_exits_0_while_parked(run_dir: Path) -> None:
    with lives(run_dir, ALLOWED + IN_PROCESS, start="gateway.life == 2 and 1 / 0") as said:
        serving(said)
        said.signal(USR1)
        said.hears("ZeroDivisionError")
        said.signal(TERM)
        said.hears("received SIGTERM; shutting down")
        assert said.ends() == 0


def test_close_raises_and_the_stop_goes_on(run_dir: Path) -> None:
    with lives(run_dir, close="1 / 0") as said:
        serving(said)
        said.signal(TERM)
        said.hears("ERROR shutdown error: division by zero")
        assert said.ends() == 0
        assert not held(run_dir)


def test_close_raises_and_only_a_fresh_image_follows(run_dir: Path) -> None:
    with lives(run_dir, ALLOWED + IN_PROCESS, close="1 / 0") as said:
        serving(said)
        said.do("image = 'old'; say('marked', flush=True)")
        said.hears("marked")
        said.signal(USR1)
        said.hears("shutdown error: division by zero")
        said.hears("only a fresh process image may follow")
        said.hears(f"restart mode: full process restart .exec, pid {said.pid} stays")
        serving(said, 2)
        said.do("say('image' in globals(), flush=True)")
        said.hears("^False$")


def test_close_hangs_and_the_restart_is_forced_to_exit_1(run_dir: Path) -> None:
    with lives(run_dir, ALLOWED + IN_PROCESS + QUICK, close="sleeps(60)") as said:
        serving(said)
        said.signal(USR1)
        said.hears("ERROR shutdown timed out; exiting without full cleanup")
        assert said.ends() == 1
        assert not held(run_dir)


def test_drain_in_time_says_so(run_dir: Path) -> None:
    with lives(run_dir, ALLOWED + IN_PROCESS) as said:
        serving(said)
        said.do("end = threading.Event(); future = gateway.lanes.submit(end.wait)")
        said.do("run = gateway.runs.register('r', abort=lambda: None, is_compacting=lambda: False)")
        said.do("say('busy', flush=True)")
        said.hears("busy")
        said.signal(USR1)
        text = "draining 1 active task(s) and 1 active embedded run(s) before restart (timeout 90000ms)"
        said.hears(text.replace("(", r"\(").replace(")", r"\)"))
        said.do("end.set(); run.end()")
        said.hears("all active work drained")
        said.hears("close")
        serving(said, 2)
        said.do("say(future.result(), flush=True)")
        said.hears("^True$")


def test_drain_overdue_aborts_every_run_and_proceeds(run_dir: Path) -> None:
    with lives(run_dir, ALLOWED + IN_PROCESS + "limits=Limits(drain=0.2)") as said:
        serving(said)
        said.do(
            "gateway.runs.register('r', abort=lambda: say('aborted', flush=True), is_compacting=lambda: False)"
        )
        said.do("say('busy', flush=True)")
        said.hears("busy")
        said.signal(USR1)
        said.hears("WARNING drain timeout reached; proceeding with restart")
        said.hears("aborted")
        serving(said, 2)


def test_compacting_runs_are_aborted_before_the_drain(run_dir: Path) -> None:
    with lives(run_dir, ALLOWED + IN_PROCESS) as said:
        serving(said)
        said.do("run = gateway.runs.register('r', abort=lambda: run.end(), is_compacting=lambda: True)")
        said.do("say('busy', flush=True)")
        said.hears("busy")
        said.signal(USR1)
        serving(said, 2)


def test_lock_lost_in_an_in_process_restart_exits_1(run_dir: Path) -> None:
    fails_once = "gateway.life == 2 and 1 / 0"
    with lives(run_dir, ALLOWED + IN_PROCESS + "limits=Limits(lock=0.1)", start=fails_once) as said:
        serving(said)
        said.signal(USR1)
        said.hears("ZeroDivisionError")
        with GatewayLock("lives", run_dir=str(run_dir)):
            said.signal(USR1)
            said.hears(
                "ERROR failed to reacquire gateway lock for in-process restart: gateway already running"
            )
            assert said.ends() == 1


def test_force_exit_of_a_stop_is_0_and_names_who_is_to_blame(run_dir: Path) -> None:
    with lives(run_dir, QUICK, close="sleeps(60)") as said:
        serving(said)
        said.do("gateway.lanes.submit(sleeps, 60, lane='blame me'); say('busy', flush=True)")
        said.hears("busy")
        said.signal(TERM)
        said.hears("shutdown timed out; exiting without full cleanup")
        assert said.ends() == 0
        assert "blame me" in said.text()
        assert not held(run_dir)


def test_force_exit_of_a_restart_is_1(run_dir: Path) -> None:
    with lives(run_dir, ALLOWED + QUICK, close="sleeps(60)") as said:
        serving(said)
        said.signal(USR1)
        said.hears("shutdown timed out; exiting without full cleanup")
        assert said.ends() == 1


def test_handlers_are_given_back(run_dir: Path) -> None:
    program = f"""
import os, signal, threading
from gatewaylock import Gateway
mine = lambda number, frame: None
signals = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1
for number in signals: signal.signal(number, mine)
class Server:
    def close(self, reason, *, restart_expected_ms): pass
gateway = Gateway("back", run_dir={str(run_dir)!r})
def start(gateway):
    assert all(signal.getsignal(number) != mine for number in signals)
    gateway.request_stop()
    return Server()
assert gateway.run(start, exits=False) == 0
assert all(signal.getsignal(number) is mine for number in signals)
assert signal.set_wakeup_fd(-1) == -1
assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
def broken(gateway): raise KeyError
try: Gateway("back", run_dir={str(run_dir)!r}).run(broken)
except KeyError: print("raised")
assert all(signal.getsignal(number) is mine for number in signals)
assert [thread for thread in threading.enumerate() if thread.name.startswith("gatewaylock")] == []
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "raised\n"), done.stderr


def test_start_interrupted_by_a_stop_that_it_watches_for(run_dir: Path) -> None:
    with lives(
        run_dir, start="gateway.stop_requested.wait(60); raise InterruptedError('told to stop')"
    ) as said:
        said.hears("start of life 1")
        said.signal(TERM)
        said.hears("start.. ended by a stop: told to stop")
        assert said.ends() == 0


def test_start_that_returns_after_a_stop_is_closed_and_never_serves(run_dir: Path) -> None:
    with lives(run_dir, start="gateway.stop_requested.wait(60)") as said:
        said.hears("start of life 1")
        said.signal(TERM)
        said.hears(r"close\('gateway stopping'")
        assert said.ends() == 0
        assert "serving" not in said.text()


def test_start_that_never_returns_is_ended_at_the_deadline_of_the_stop(run_dir: Path) -> None:
    with lives(run_dir, QUICK, start="threading.Event().wait()") as said:
        said.hears("start of life 1")
        said.signal(TERM)
        said.hears("shutdown timed out")
        assert said.ends() == 0


def test_restart_requested_during_start_is_served_when_it_returns(run_dir: Path) -> None:
    waits = "gateway.life == 1 and hold.wait()"
    with lives(run_dir, ALLOWED + IN_PROCESS, start=waits) as said:
        said.hears("start of life 1")
        said.signal(USR1)
        said.do("hold.set()")
        serving(said, 1)
        said.hears("received SIGUSR1; restarting")
        serving(said, 2)


def test_kept_tasks_run_after_the_next_start(run_dir: Path) -> None:
    options = ALLOWED + IN_PROCESS + "limits=Limits(drain=0.2)"
    with lives(run_dir, options, start="say('starting', flush=True)") as said:
        serving(said)
        said.do("end = threading.Event(); gateway.lanes.submit(end.wait, lane='l')")
        said.do("gateway.lanes.submit(say, 'kept task runs', lane='l', flush=True)")
        said.do("say('busy', flush=True)")
        said.hears("busy")
        said.signal(USR1)
        said.hears("draining 2 ")
        said.hears("drain timeout reached")
        said.hears("starting")
        serving(said, 2)
        said.hears("kept task runs")


def test_a_stuck_task_of_the_old_life_blocks_neither_its_lane_nor_the_next_restart(run_dir: Path) -> None:
    options = ALLOWED + IN_PROCESS + "limits=Limits(drain=0.2)"
    with lives(run_dir, options) as said:
        serving(said)
        said.do(
            "end = threading.Event(); old = gateway.lanes.submit(end.wait, lane='l'); say('busy', flush=True)"
        )
        said.hears("busy")
        said.signal(USR1)
        serving(said, 2)
        said.do("say(gateway.lanes.submit(lambda: 'lane is free', lane='l').result(), flush=True)")
        said.hears("lane is free")
        said.do("gateway.lanes.wait_for_active(9); say(gateway.lanes.active_count(), flush=True)")
        said.hears("^0$")
        said.do("end.set(); say(old.result(), flush=True)")
        said.hears("^True$")
        said.signal(USR1)
        serving(said, 3)


def test_a_stop_is_never_lost_however_it_falls_into_a_restart(run_dir: Path) -> None:
    """Sent at a different moment of an exec restart each time: it stops, inside its budget."""
    for delay in range(12):
        with lives(run_dir, ALLOWED) as said:
            serving(said)
            said.signal(USR1)
            threading.Event().wait(delay * 0.03)  # a moment, not a wait for something
            said.signal(TERM)
            assert said.ends() == 0, said.text()
