"""What ends the process is proved on processes that are ended."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from speaking import environment

from gatewaylock.core.deadline import Deadline
from gatewaylock.system.host import Host
from gatewaylock.system.watchdog import Watchdog

SETUP = """
import ctypes, os, sys, threading, time, atexit, logging
from gatewaylock.core.deadline import Deadline
from gatewaylock.system.host import Host
from gatewaylock.system.watchdog import Watchdog
logging.basicConfig(format="%(message)s")
"""
#: the first line alone: on a busy machine the second, which ends with another code, may be faster
ARMED = """
dog = Watchdog(Host(dump_later=lambda *args, **kw: None), lambda: ["the guilty one"])
dog.arm(Deadline.after(0.3), 7)
"""
BOTH = """
dog = Watchdog(Host(), lambda: ["the guilty one"])
dog.arm(Deadline.after({seconds}), 7)
"""
HANGS = {
    "event": "threading.Event().wait()",
    "pure Python loop": "while True: pass",
    "non-daemon thread": "threading.Thread(target=threading.Event().wait).start()",
    "atexit": "atexit.register(time.sleep, 60)",
    "executor": "import concurrent.futures as f; f.ThreadPoolExecutor().submit(threading.Event().wait)",
    "C without the GIL": "ctypes.CDLL(None).sleep(60)",
    "logging lock": "logging.getLogger().handlers[0].acquire(); threading.Event().wait()",
}


def ended(program: str, armed: str = ARMED) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", SETUP + armed + program]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, env=environment())


@pytest.mark.parametrize("hang", HANGS)
def test_the_process_ends_with_the_code_whatever_hangs(hang: str) -> None:
    done = ended(HANGS[hang])
    assert done.returncode == 7, done.stderr
    if hang != "logging lock":  # the main thread holds its own lock again there: nobody can log
        assert "shutdown timed out; exiting without full cleanup\nunfinished: the guilty one\n" in done.stderr
        assert "Thread 0x" in done.stderr or "Current thread" in done.stderr


def test_a_report_that_hangs_under_a_storm_of_signals_is_given_up() -> None:
    """Each wait for it ends in its time, whatever lands in that moment; hundreds of tries hit it."""
    program = """
import signal
from gatewaylock.system import watchdog
watchdog.REPORT = 0.005
signal.signal(signal.SIGUSR1, lambda *args: None)
def storm():
    while True:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.0002)
threading.Thread(target=storm, daemon=True).start()
ends = []
dog = Watchdog(Host(exit_now=ends.append), threading.Event().wait)
for _ in range(150):
    dog.end_now(7, "says")
os._exit(len(ends) % 256)
"""
    assert ended(program, armed="").returncode == 150


def test_a_stream_of_the_application_that_raises_costs_nothing_of_the_report() -> None:
    program = """
class Odd:
    write, flush = sys.stdout.write, sys.stdout.flush
    def fileno(self): raise NotImplementedError
logging.getLogger().handlers[0].setStream(Odd())
threading.Event().wait()
"""
    assert "unfinished: the guilty one\n" in ended(program).stdout


def test_c_code_that_keeps_the_gil_is_ended_by_the_second_line_with_code_1() -> None:
    done = ended("ctypes.PyDLL(None).sleep(60)", BOTH.format(seconds=0.3))
    assert done.returncode == 1, done.stderr
    assert "Timeout" in done.stderr


@pytest.mark.parametrize("use", ["cancel_dump_traceback_later()", "dump_traceback_later(60)"])
def test_an_application_that_uses_faulthandler_takes_the_second_line_for_a_moment_only(use: str) -> None:
    """The alarm arms it anew: seen here from outside it, before the GIL is held."""
    program = f"""
import faulthandler
armed = threading.Event()
real = dog._host.dump_later
faulthandler.{use}
def arm(seconds, **kw):
    real(seconds, **kw)
    if not dog._deadline.passed() and seconds > 0.5:  # at the deadline the first line pushes it on
        armed.set()
object.__setattr__(dog._host, "dump_later", arm)
armed.wait()
ctypes.PyDLL(None).sleep(60)
"""
    done = ended(program, BOTH.format(seconds=1.5))
    assert done.returncode == 1, done.stderr
    assert "Timeout" in done.stderr


@pytest.mark.parametrize("log", ["a file", "stdout, which is stderr"])
def test_names_and_stacks_are_told_once_in_the_log_and_once_on_stderr(tmp_path: Path, log: str) -> None:
    """Once in all where the one is the other."""
    file = tmp_path / "log"
    handlers = {
        "a file": f"logging.FileHandler({str(file)!r})",
        "stdout, which is stderr": "logging.StreamHandler(sys.stdout)",
    }
    program = f"logging.getLogger().handlers[:] = [{handlers[log]}]\nthreading.Event().wait()"
    words = [sys.executable, "-c", SETUP + ARMED + program]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(words, **both, text=True, timeout=30, env=environment())
    for text in [done.stdout] + ([file.read_text()] if log == "a file" else []):
        for line in (
            "shutdown timed out; exiting",
            "unfinished: the guilty one",
            'in wait\n  File "<string>"',
        ):
            assert text.count(line) == 1, text


@pytest.mark.parametrize(("held", "code"), [("", 7), ("logging.getLogger().handlers[0].acquire()", 1)])
def test_with_no_thread_to_report_on_it_reports_itself_and_is_ended_when_that_hangs(
    held: str, code: int
) -> None:
    program = f"""
{held}
def no_thread(thread, start=threading.Thread.start):
    if thread.name == "gatewaylock-report":
        raise RuntimeError("can't create new thread at interpreter shutdown")
    start(thread)
threading.Thread.start = no_thread
threading.Thread(target=dog.end_now, args=(7, "ends now")).start()
threading.Event().wait()
"""
    done = ended(program, BOTH.format(seconds=60))
    assert done.returncode == code, done.stderr
    assert ("ends now" in done.stderr) == (code == 7)


def test_a_full_pipe_as_stderr_holds_nobody() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while os.write(write, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(write, True)
    child = subprocess.Popen(
        [sys.executable, "-c", SETUP + ARMED + HANGS["event"]], stderr=write, env=environment()
    )
    assert child.wait(30) == 7
    os.close(read)
    os.close(write)


def test_a_disarmed_watchdog_does_nothing() -> None:
    """Its first line is a thread that has ended, and its second is taken back."""
    calls: list[str] = []
    host = Host(
        exit_now=lambda code: calls.append("exit"),
        dump_later=lambda *args, **kw: calls.append("arm"),
        cancel_dump=lambda: calls.append("cancel"),
    )
    dog = Watchdog(host, list)
    before = set(threading.enumerate())
    dog.arm(Deadline.after(60), 7)
    [alarm] = set(threading.enumerate()) - before
    assert dog.armed
    dog.disarm()
    alarm.join(30)
    assert not alarm.is_alive() and not dog.armed
    assert (calls[0], calls[-1], "exit" in calls) == ("arm", "cancel", False)


def test_arming_again_replaces_the_deadline_and_the_code() -> None:
    assert ended("dog.arm(Deadline.after(0.5), 3); threading.Event().wait()").returncode == 3


def test_a_disarmed_watchdog_leaves_no_thread_and_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    dog = Watchdog(Host(exit_now=lambda code: None), list)
    for _ in range(100):
        dog.arm(Deadline.after(60), 0)
    dog.disarm()
    assert len(os.listdir("/proc/self/fd")) == before
    for thread in threading.enumerate():
        if thread.name == "gatewaylock-watchdog":
            thread.join(5)
            assert not thread.is_alive()


def test_stacks_and_log_do_not_overwrite_each_other_in_a_file(tmp_path: Path) -> None:
    """As after ``program > log 2>&1``: no O_APPEND, one position shared by all who inherit it."""
    words = [sys.executable, "-c", SETUP + ARMED + HANGS["event"]]
    with open(tmp_path / "log", "wb") as file:
        done = subprocess.run(words, stdout=file, stderr=file, timeout=30, env=environment())
    said = (tmp_path / "log").read_text()
    assert done.returncode == 7, said
    assert re.search(r"^(Current thread|Thread) 0x[0-9a-f]+ .*\(most recent call first\):$", said, re.M), said
    assert said.startswith(("Current thread 0x", "Thread 0x")), said  # its first line is whole
    assert said.count("(most recent call first):") >= 2, said
    assert "\nshutdown timed out; exiting without full cleanup\nunfinished: the guilty one\n" in said
