"""What ends the process is proved on processes that are ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from speaking import environment

from gatewaylock.core.deadline import Deadline
from gatewaylock.system.host import Host
from gatewaylock.system.watchdog import Watchdog

ARMED = """
import ctypes, os, sys, threading, time, atexit, logging
from gatewaylock.core.deadline import Deadline
from gatewaylock.system.host import Host
from gatewaylock.system.watchdog import Watchdog
logging.basicConfig(format="%(message)s")
dog = Watchdog(Host(), lambda: ["the guilty one"])
dog.arm(Deadline.after(0.3), 7)
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


def ended(program: str) -> tuple[subprocess.CompletedProcess[str], float]:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", ARMED + program], capture_output=True, text=True, timeout=30, env=environment()
    )
    return done, time.monotonic() - start


@pytest.mark.parametrize("hang", HANGS)
def test_the_process_ends_with_the_code_whatever_hangs(hang: str) -> None:
    done, _ = ended(HANGS[hang])
    assert done.returncode == 7, done.stderr
    if hang != "logging lock":  # the main thread holds its own lock again there: nobody can log
        assert "shutdown timed out; exiting without full cleanup\nunfinished: the guilty one\n" in done.stderr
        assert "Thread 0x" in done.stderr or "Current thread" in done.stderr


def test_c_code_that_keeps_the_gil_is_ended_by_the_second_line_with_code_1() -> None:
    done, took = ended("ctypes.PyDLL(None).sleep(20)")
    assert done.returncode == 1, done.stderr
    assert "Timeout" in done.stderr
    assert took < 15


def test_a_full_pipe_as_stderr_holds_nobody() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while os.write(write, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(write, True)
    child = subprocess.Popen([sys.executable, "-c", ARMED + HANGS["event"]], stderr=write, env=environment())
    assert child.wait(30) == 7
    os.close(read)
    os.close(write)


def test_a_disarmed_watchdog_does_nothing() -> None:
    done, _ = ended("dog.disarm(); time.sleep(0.7); print('lives')")
    assert (done.returncode, done.stdout) == (0, "lives\n")


def test_arming_again_replaces_the_deadline_and_the_code() -> None:
    done, _ = ended("dog.arm(Deadline.after(0.5), 3); threading.Event().wait()")
    assert done.returncode == 3


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
