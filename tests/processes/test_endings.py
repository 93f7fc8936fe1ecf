"""Every end has its exit code and its line in the log (core/endings.py, row by row), and further stops hurry it."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from speaking import Program, eventually, gateway, gateway_argv, python, started
from torture import is_free

from gatewaylock import GatewayLock
from gatewaylock.core.endings import ENDINGS
from gatewaylock.system.history import History
from gatewaylock.system.rundir import RunDir

TERM, INT, USR1, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP
QUICK = "limits=Limits(stop=0.4, drain=0.2, shutdown=0.2, start=0.5, first_start=9, lock=0.1)"
SLOW = "limits=Limits(stop=60, drain=60)"
HANGS = "threading.Event().wait()"
ASKED = "say('asked', gateway.stop_requested.is_set(), flush=True)"


def lives(
    run_dir: Path, options: str = QUICK, *, mode: str = "in-process", start: str = "", close: str = ""
) -> AbstractContextManager[Program]:
    options = f"dict({options}, restart_mode={mode!r}, allow_sigusr1=True)"
    return python("lives.py", run_dir, OPTIONS=options, START=start, CLOSE=close)


def says_so(said: Program, how: str) -> None:
    """It ends with the code and the line of the row *how*."""
    [row] = [row for row in ENDINGS if row.how == how]
    code = said.ends()
    assert (str(code) if code >= 0 else signal.Signals(-code).name) in row.code.split(", "), said.text()
    assert row.says in said.text(), said.text()


def term(said: Program) -> None:
    said.signal(TERM)


def usr1(said: Program) -> None:
    said.signal(USR1)


def thrice(said: Program) -> None:
    for heard in ("close", "again", "a third time"):
        said.signal(TERM)
        said.hears(heard)


@pytest.mark.parametrize(
    ("how", "end", "options"),
    [
        ("stopped", term, {}),
        ("a stop not done in time", term, {"close": HANGS}),
        ("a restart not done in time", usr1, {"close": HANGS}),
        (
            "the GIL was held through the deadline",
            term,
            {"close": "import ctypes; ctypes.PyDLL(None).sleep(20)"},
        ),
        ("a start not done in time", usr1, {"start": f"gateway.life > 1 and {HANGS}"}),
        ("the third stop", thrice, {"options": SLOW, "close": HANGS}),
        ("left for its supervisor", usr1, {"mode": "supervisor"}),
        (
            "a half closed server and no fresh image",
            usr1,
            {"close": "1 / 0"},
        ),
    ],
)
def test_an_end_in_service(
    run_dir: Path, how: str, end: Callable[[Program], object], options: dict[str, str]
) -> None:
    with lives(run_dir, **options) as said:
        said.hears("serving: ")
        if "no fresh image" in how:
            said.do(
                "object.__setattr__(gateway._around.line, 'argv', ('/nowhere',)); say('gone', flush=True)"
            )
            said.hears("gone")
        end(said)
        says_so(said, how)
        assert is_free(run_dir)


def test_the_first_start_raises(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    words = gateway_argv("run", "broken:app", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    with started(*words, cwd=tmp_path) as said:
        says_so(said, "the first start raises")
        assert "ZeroDivisionError: division by zero" in said.text()
        assert is_free(run_dir)


def test_a_first_start_that_hangs_is_ended_where_a_limit_was_given(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text("import threading; threading.Event().wait()")
    words = gateway_argv(
        "run", "hangs:app", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--start-timeout", "0.5"
    )
    with started(*words, cwd=tmp_path) as said:
        says_so(said, "a start not done in time")
        assert "hangs.py" in said.text(), "the stacks say where"
        assert is_free(run_dir)


def test_the_lock_is_lost(run_dir: Path) -> None:
    with lives(run_dir, start="gateway.life == 2 and 1 / 0") as said:
        said.hears("serving: ")
        said.signal(USR1)
        said.hears("ZeroDivisionError")
        with GatewayLock("lives", run_dir=str(run_dir)):
            said.signal(USR1)
            says_so(said, "a restart after which the lock is lost")


def test_the_next_image_hangs_before_it_is_a_gateway(run_dir: Path) -> None:
    """In an import, say: nothing of ours runs there, and only the kernel's alarm came along."""
    hangs = f"limits={HANGS} if 'GATEWAYLOCK_HANDOFF' in os.environ else Limits(start=0.5)"
    with lives(run_dir, hangs, mode="exec") as said:
        said.hears("serving: ")
        said.do("gateway.request_restart(force=True)")
        says_so(said, "the next image never came to run()")
        assert is_free(run_dir)


def test_left_for_a_successor(run_dir: Path) -> None:
    with lives(run_dir, "limits=Limits()", mode="spawn") as said:
        said.hears("serving: .*life=1 ")
        said.signal(USR1)
        said.hears("serving: .*life=2 ")
        assert said.popen.wait(20) == 0
        assert gateway("stop", "--name", "lives", "--run-dir", run_dir).returncode == 0
        says_so(said, "left for a successor")


def test_what_is_wrong_before_it_begins(run_dir: Path) -> None:
    with started(*gateway_argv("run", "--no-such-option")) as said:
        says_so(said, "wrong usage")
    with started(*gateway_argv("run", "--run-dir", run_dir, "--threads", "0")) as said:
        says_so(said, "the configuration is wrong")
    words = gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--lock-timeout", "0")
    with started(*words) as holder:
        holder.hears("serving: ")
        with started(*words) as said:
            says_so(said, "another gateway holds the name")


def test_every_row_is_proved_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [row.how for row in ENDINGS if f'"{row.how}"' not in text] == []


# -- stops ---------------------------------------------------------------------------------------------


def test_stop_now_waits_for_nothing_under_way(run_dir: Path) -> None:
    with lives(run_dir, SLOW) as said:
        said.hears("serving: ")
        said.do("gateway.lanes.submit(threading.Event().wait); say('busy', flush=True)")
        said.hears("busy")
        done = gateway("stop", "--now", "--name", "lives", "--run-dir", run_dir)
        assert (done.returncode, done.stdout) == (0, "stopped\n")
        says_so(said, "stopped")


def test_a_second_gateway_stop_skips_the_drain_and_a_third_one_exits(run_dir: Path) -> None:
    stop = gateway_argv("stop", "--name", "lives", "--run-dir", run_dir)
    with lives(run_dir, SLOW, close=HANGS) as said:
        said.hears("serving: ")
        with started(*stop) as first, started(*stop) as second:
            said.hears("skipping the rest of the drain")
            gateway(*stop[3:])
            assert said.ends() == 143
            assert (first.ends(), second.ends()) == (0, 0)


def test_a_request_that_stops_escalates_like_a_signal(run_dir: Path) -> None:
    with lives(run_dir, SLOW, close=HANGS) as said:
        said.hears("serving: ")
        said.do("gateway.request_stop('a'); gateway.request_stop('b'); say('asked', flush=True)")
        said.hears("stop request again; skipping")
        said.do("gateway.request_stop('c')")
        assert said.ends() == 143


@pytest.mark.parametrize(
    ("left", "last", "code"),
    [
        (f"threading.Thread(target=lambda: {HANGS}).start()", TERM, 143),
        ("import atexit; atexit.register(time.sleep, 60)", INT, 130),
    ],
)
def test_stops_escalate_on_when_all_is_over_but_the_process_does_not_end(
    run_dir: Path, left: str, last: signal.Signals, code: int
) -> None:
    with lives(run_dir, SLOW, start=left) as said:
        said.hears("serving: ")
        said.signal(TERM)
        said.hears("^code 0")
        said.signal(USR1)
        assert eventually(lambda: said.signal(last) or said.popen.poll() is not None)  # two may become one
        assert said.ends() == code
        said.hears(f"received {last.name} a third time; exiting at once")


@pytest.mark.parametrize(("mode", "code"), [("supervisor", 0), ("in-process", 1)])
def test_what_a_parked_gateway_has_left_running_does_not_hold_the_process(
    run_dir: Path, mode: str, code: int
) -> None:
    start = f"gateway.life == 2 and (threading.Thread(target=lambda: {HANGS}).start(), 1 / 0)"
    with lives(run_dir, start=start) as said, ExitStack() as stack:
        said.hears("serving: ")
        said.signal(USR1)
        said.hears("ZeroDivisionError")
        if mode == "in-process":  # then somebody else has the name, and it leaves for that
            stack.enter_context(GatewayLock("lives", run_dir=str(run_dir)))
        said.do(f"gateway.request_restart(mode={mode!r}, force=True)")
        said.hears(f"^code {code}")
        assert said.ends() == code
        said.hears("shutdown timed out; exiting")


def test_stops_that_are_requests_escalate_while_start_hangs(run_dir: Path) -> None:
    stop = gateway_argv("stop", "--name", "lives", "--run-dir", run_dir)
    with lives(run_dir, SLOW, start=f"say('hangs', flush=True); {HANGS}") as said:
        said.hears("^hangs")
        with started(*stop) as first:
            assert eventually(lambda: said.do(ASKED) or "asked True" in said.text())
            said.do("gateway.request_stop('b'); say('again', flush=True)")
            said.hears("again")
            said.do("gateway.request_stop('c')")
            assert said.ends() == 143
            first.ends()


def test_an_aborted_run_gets_its_grace_before_the_server_is_closed(run_dir: Path) -> None:
    options = "limits=Limits(drain=0.2, abort=30, shutdown=60)"
    with lives(run_dir, options) as said:
        said.hears("serving: ")
        said.do("asked = threading.Event(); run = gateway.runs.register('r', abort=asked.set)")
        said.do("threading.Thread(target=lambda: (asked.wait(), sleeps(0.3), run.end())).start()")
        said.do("say('busy', flush=True)")
        said.hears("busy")
        said.signal(USR1)
        said.hears("drain timeout reached")
        said.hears("slept")
        said.hears("close")
        assert "still active" not in said.text()


def test_in_a_stop_the_grace_of_runs_comes_before_the_reserve_and_tasks_have_until_there(
    run_dir: Path,
) -> None:
    with lives(run_dir, "limits=Limits(stop=3, abort=1)") as said:
        said.hears("serving: ")
        said.do("asked = threading.Event(); run = gateway.runs.register('r', abort=asked.set)")
        said.do("gateway.lanes.submit(lambda: (asked.wait(), sleeps(0.7)))")
        said.do("threading.Thread(target=lambda: (asked.wait(), sleeps(0.7), run.end())).start()")
        said.do("say('busy', flush=True)")
        said.hears("^busy")
        said.signal(TERM)
        said.hears("drain timeout reached")
        said.hears("close")
        assert "still active" not in said.text()
        says_so(said, "stopped")


def test_what_does_not_fit_is_told_at_the_start(run_dir: Path) -> None:
    with lives(run_dir, "limits=Limits(stop=1, abort=2)") as said:
        said.hears("aborted runs get 0.25 s of their 2 s in a stop: there is no more in its 1 s")
        said.hears("serving: ")


def test_a_lame_duck_is_not_ready_but_serves_new_connections(run_dir: Path) -> None:
    words = gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--lame-duck", "60")
    with started(*words) as said:
        port = int(said.hears(r"address=127.0.0.1:(\d+)")[1])
        said.signal(TERM)
        said.hears("not ready any more; new work is still taken for 60 s")
        assert urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20).status == 200
        with pytest.raises(HTTPError, match="503"):
            urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20)
        assert " is lame duck" in gateway("status", "--run-dir", run_dir).stdout
        said.signal(TERM)
        said.hears("skipping the rest of the drain")
        assert said.ends() == 0
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port)):
            pass


def test_a_lame_duck_drains_when_its_time_is_over(run_dir: Path) -> None:
    with lives(run_dir, "limits=Limits(lame_duck=0.3, stop=5)") as said:
        said.hears("serving: ")
        said.signal(TERM)
        said.hears("new work is still taken")
        said.do("gateway.lanes.submit(say, 'late work', flush=True)")
        said.hears("late work")
        said.hears("close")
        says_so(said, "stopped")


def test_a_lame_duck_that_must_not_escalate_keeps_its_time(run_dir: Path) -> None:
    with lives(run_dir, "limits=Limits(lame_duck=0.6, stop=0.3), escalate=False") as said:
        said.hears("serving: ")
        said.signal(TERM)
        said.hears("new work is still taken")
        said.signal(TERM)
        said.hears("received SIGTERM during shutdown; ignoring")
        said.hears("close")
        says_so(said, "stopped")


def test_sighup_without_a_terminal_restarts_as_sigusr1_does(run_dir: Path) -> None:
    with lives(run_dir) as said:
        said.hears("serving: ")
        said.signal(HUP)
        said.hears("received SIGHUP; restarting")
        said.hears("serving: .*life=2 ")


def test_an_ignored_sighup_stays_ignored(run_dir: Path) -> None:
    with started("nohup", *gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")) as said:
        said.hears("serving: ")
        said.signal(HUP)
        said.signal(USR1)
        said.hears("signal SIGUSR1 received")
        assert "SIGHUP" not in said.text()


# -- what is remembered --------------------------------------------------------------------------------


def last_end(run_dir: Path, *words: str) -> str:
    done = gateway("status", "--name", "lives", "--run-dir", run_dir)
    return done.stderr + done.stdout


def test_the_status_tells_how_the_last_one_ended(run_dir: Path) -> None:
    with lives(run_dir) as said:
        said.hears("serving: ")
        assert "the one before" not in last_end(run_dir)
        said.signal(TERM)
        assert said.ends() == 0
    assert "the last one: stopped by SIGTERM, " in last_end(run_dir)
    with lives(run_dir, close=HANGS) as said:
        said.hears("serving: ")
        assert "the one before: stopped by SIGTERM, " in last_end(run_dir)
        said.do("gateway.lanes.submit(sleeps, 60, lane='blame me'); say('busy', flush=True)")
        said.hears("busy")
        said.signal(TERM)
        assert said.ends() == 0
    assert "shutdown timed out" in last_end(run_dir) and "blame me" in last_end(run_dir)
    assert "close() of the server" in last_end(run_dir)
    with lives(run_dir) as said:
        said.hears("serving: ")
        said.popen.kill()
        said.popen.wait()
        assert "killed, or crashed: pid" in last_end(run_dir)


def test_an_exec_restart_and_a_hand_over_are_no_deaths(run_dir: Path) -> None:
    for mode in ("exec", "spawn", "overlap"):
        with lives(run_dir, "limits=Limits(), probation=0.1", mode=mode) as said:
            said.hears("serving: ")
            said.signal(USR1)
            said.hears("serving: .*life=2 ")
            assert gateway("stop", "--name", "lives", "--run-dir", run_dir).returncode == 0
            assert said.ends() == 0
        text = last_end(run_dir)
        assert "killed" not in text and "stopped by gateway stop" in text, text


def test_starts_that_die_young_are_tried_again_later_and_later_and_loudly(run_dir: Path) -> None:
    with lives(run_dir, start="gateway.life in (2, 3, 4) and 1 / 0") as said:
        said.hears("serving: ")
        for _ in range(3):
            said.signal(USR1)
            said.hears("ZeroDivisionError")
        said.signal(USR1)
        said.hears("ERROR 3 starts have died young within five minutes; the next try is in 1 s")
        said.hears("serving: .*life=5 ")


def test_a_stop_is_served_while_the_next_try_is_waited_for(run_dir: Path) -> None:
    died_before(run_dir, 20)
    with lives(run_dir, start="gateway.life > 1 and 1 / 0") as said:
        said.hears("ERROR 20 starts have died young within five minutes: see")
        said.hears("serving: ")
        said.signal(USR1)
        said.hears("ZeroDivisionError")
        said.signal(USR1)
        said.hears("ERROR 21 starts have died young within five minutes; the next try is in 30 s")
        said.signal(TERM)
        assert said.ends() == 0


def test_a_life_that_served_is_followed_at_once_whatever_died_before_it(run_dir: Path) -> None:
    died_before(run_dir, 20)
    with lives(run_dir) as said:
        said.hears("serving: ")
        said.signal(USR1)
        said.hears("serving: .*life=2 ", 15)


def test_starts_that_are_killed_before_they_serve_are_noticed(run_dir: Path) -> None:
    for _ in range(2):
        with lives(run_dir, start="os.kill(os.getpid(), 9)") as said:
            assert said.ends() == -9
    assert "killed, or crashed in start(): pid" in last_end(run_dir)
    assert "left no word" in gateway("history", "--name", "lives", "--run-dir", run_dir).stdout
    with lives(run_dir) as said:
        said.hears("ERROR 2 starts have died young within five minutes: see")
        said.hears("serving: ")


def records(run_dir: Path, event: str) -> list[dict[str, Any]]:
    return [
        found for found in History(RunDir.open(str(run_dir)), "lives").records() if found["event"] == event
    ]


@pytest.mark.parametrize("mode", ["in-process", "exec", "spawn", "overlap"])
def test_each_start_and_end_is_written_down_with_why_and_how_long_it_took(run_dir: Path, mode: str) -> None:
    with lives(run_dir, "limits=Limits(), probation=0.1", mode=mode, start="sleeps(0.1)") as said:
        said.hears("serving: ")
        said.signal(USR1)
        said.hears("serving: .*life=2 ")
        assert gateway("stop", "--name", "lives", "--run-dir", run_dir).returncode == 0
    first, second = records(run_dir, "start")
    assert (first["why"], second["why"]) == ("", "SIGUSR1")
    assert 0 < first["took"] < 30 and 0 < second["took"] < 30
    assert any(
        end["why"].startswith("gateway stop") and 0 < end["took"] < 30 for end in records(run_dir, "end")
    )


def test_a_forced_end_says_how_long_it_took(run_dir: Path) -> None:
    with lives(run_dir, "limits=Limits(stop=0.5)", close=HANGS) as said:
        said.hears("serving: ")
        said.signal(TERM)
        said.ends()
    [forced] = records(run_dir, "forced")
    assert 0.3 < forced["took"] < 30


def died_before(run_dir: Path, count: int) -> None:
    diary = History(RunDir.open(str(run_dir)), "lives")
    for _ in range(count):
        diary.add({"event": "failed", "at": time.time(), "pid": 1, "text": "no database"})
