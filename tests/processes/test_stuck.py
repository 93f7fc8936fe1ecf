"""Whatever hangs: it ends on time, with the code that the README says, and the name is free.

Each row is a gateway with something in it that never ends, stopped by SIGTERM or restarted by SIGUSR1.  The
time is from the signal to ``waitpid``.  A machine that was busy may have been late for us: what was late is
measured again, and what is late by itself is late each time.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from speaking import PROGRAMS, Program, gateway_argv, python, started

from gatewaylock import GatewayLock

TERM, INT, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1
BUDGET, LATE = 0.6, 0.25  # seconds: of a stop, and of a restart; how much later the end may be
HALF = BUDGET / 2
LIMITS = f"limits=Limits(drain={HALF}, shutdown={HALF}, stop={BUDGET}, start={BUDGET})"
FORCED = "shutdown timed out; exiting without full cleanup"
FOREVER = "threading.Event().wait()"
JAM = "jam = threading.Lock(); jam.acquire()\n"
LOOP = "def loop():\n    while True: pass\n"
GIL = "import ctypes; gil = ctypes.PyDLL(None).usleep\n"
THREAD = f"threading.Thread(target={FOREVER[:-2]}).start()"
EXECUTOR = f"import concurrent.futures as f; f.ThreadPoolExecutor().submit({FOREVER[:-2]})"
ATEXIT = "import atexit; atexit.register(time.sleep, 60)"
FULL = """
import fcntl
unread, full = os.pipe()
os.write(full, b'x' * fcntl.fcntl(full, 1032))
"""  # 1032: F_GETPIPE_SZ
LOG_FULL = FULL + "logging.getLogger().addHandler(logging.StreamHandler(os.fdopen(full, 'w')))"
STDERR_FULL = FULL + "os.dup2(full, 2); logging.getLogger().addHandler(logging.StreamHandler())"


@dataclass(frozen=True)
class Stuck:
    """What hangs (in start(), in close(), or ``then``, once it serves), and how a stop and a restart end.

    ``clean``: as if nothing were wrong, and a restart with the next life.  ``forced`` by the watchdog,
    which says so; ``mute``: it cannot say it; ``second``: by its second line.  Empty: not asked here.
    """

    start: str = ""
    close: str = ""
    then: str = ""
    stop: str = "clean"
    restart: str = "clean"
    mode: str = "in-process"


MATRIX = {
    "lane task in a pure Python loop": Stuck(LOOP + "gateway.lanes.submit(loop)"),
    "lane task that waits": Stuck("gateway.lanes.submit(threading.Event().wait)"),
    "lane task in C with the GIL": Stuck(
        GIL + "gateway.lanes.submit(lambda: gateway.stop_requested.wait() and time.sleep(0.1) or gil(60_000_000))",
        stop="second",
        restart="",
    ),
    "run that ignores its abort": Stuck("gateway.runs.register('deaf', abort=lambda: None)"),
    "abort callback": Stuck(JAM + "gateway.runs.register('deaf', abort=jam.acquire)"),
    "is_compacting callback": Stuck(
        JAM + "gateway.runs.register('deaf', abort=jam.acquire, is_compacting=jam.acquire)"
    ),
    "on_wait callback": Stuck(JAM + "gateway.lanes.submit(int, warn_after=0, on_wait=lambda *a: jam.acquire())"),
    "callback of a future": Stuck(
        JAM + "gateway.lanes.submit(int).add_done_callback(lambda future: jam.acquire())"
    ),
    "close() that waits": Stuck(close=FOREVER, stop="forced", restart="forced"),
    "close() in a pure Python loop": Stuck(close="while True: pass", stop="forced", restart="forced"),
    "close() that needs a lock never released": Stuck(JAM, "jam.acquire()", stop="forced", restart="forced"),
    "close() in C without the GIL": Stuck(
        close="import ctypes; ctypes.CDLL(None).sleep(60)", stop="forced", restart="forced"
    ),
    "close() in C with the GIL": Stuck(GIL, "gil(60_000_000)", stop="second", restart="second"),
    "non-daemon thread": Stuck(THREAD, stop="forced"),
    "non-daemon thread, exec": Stuck(THREAD, stop="", mode="exec"),
    "non-daemon thread, supervisor": Stuck(THREAD, stop="", restart="forced", mode="supervisor"),
    "executor of the application": Stuck(EXECUTOR, stop="forced"),
    "executor of the application, exec": Stuck(EXECUTOR, stop="", mode="exec"),
    "executor of the application, supervisor": Stuck(EXECUTOR, stop="", restart="forced", mode="supervisor"),
    "atexit hook": Stuck(ATEXIT, stop="forced"),
    "atexit hook, exec": Stuck(ATEXIT, stop="", mode="exec"),
    "atexit hook, supervisor": Stuck(ATEXIT, stop="", restart="forced", mode="supervisor"),
    "start() of the next life": Stuck(f"gateway.life == 2 and {FOREVER}", stop="", restart="forced"),
    "start() of the next life, exec": Stuck(
        f"gateway.life == 2 and {FOREVER}", stop="", restart="forced", mode="exec"
    ),
    "start() of the next life in C with the GIL": Stuck(
        GIL + "gateway.life == 2 and gil(60_000_000)", stop="", restart="second"
    ),
    "log handler on a full pipe": Stuck(then=LOG_FULL, stop="forced"),
    "log handler on a full pipe, exec": Stuck(then=LOG_FULL, stop="", mode="exec"),
    "stderr, a full pipe": Stuck(then=STDERR_FULL, stop="mute"),
    "stderr, a full pipe, exec": Stuck(then=STDERR_FULL, stop="", mode="exec"),
}


def lives(run_dir: Path, stuck: Stuck, more: str = "") -> AbstractContextManager[Program]:
    options = f"dict(restart_mode={stuck.mode!r}, allow_sigusr1=True, {LIMITS}, {more})"
    return python("lives.py", run_dir, OPTIONS=options, START=stuck.start, CLOSE=stuck.close)


@contextmanager
def serving(run_dir: Path, stuck: Stuck, more: str = "") -> Iterator[Program]:
    with lives(run_dir, stuck, more) as said:
        said.hears("serving: ")
        if stuck.then:
            said.do(f"exec({stuck.then!r}, globals()); say('stuck', flush=True)")
            said.hears("^stuck")
        yield said


def in_time(measure: Callable[[], float], budget: float = BUDGET) -> None:
    """*measure* gives seconds: one of three must be within *budget* and a little."""
    took: list[float] = []
    while len(took) < 3 and not (took and took[-1] <= budget + LATE):
        took.append(measure())
    assert took[-1] <= budget + LATE, f"ended after {took} s, {budget} s were allowed"


def seconds(said: Program, how: str, code: int, act: Callable[[], object]) -> float:
    """From *act* to the end, which is as announced."""
    began = time.monotonic()
    act()
    said.popen.wait(30)
    took = time.monotonic() - began
    assert said.ends() == (1 if how == "second" else code), said.text()
    if how != "mute":
        assert (FORCED in said.text()) == (how == "forced"), said.text()
    if how == "forced":
        said.hears("^(Thread 0x|Current thread)")
    elif how == "second":
        said.hears("^Timeout")
    return took


def is_free(run_dir: Path, name: str = "lives") -> bool:
    lock = GatewayLock(name, run_dir=str(run_dir))
    lock.acquire(0)
    lock.release()
    return True


@pytest.mark.parametrize("name", [name for name, stuck in MATRIX.items() if stuck.stop])
def test_a_stop_ends_on_time_whatever_hangs(run_dir: Path, name: str) -> None:
    stuck = MATRIX[name]

    def measure() -> float:
        with serving(run_dir, stuck) as said:
            took = seconds(said, stuck.stop, 0, lambda: said.signal(TERM))
            return took if is_free(run_dir) else 60

    in_time(measure)


@pytest.mark.parametrize("name", [name for name, stuck in MATRIX.items() if stuck.restart])
def test_a_restart_ends_on_time_whatever_hangs(run_dir: Path, name: str) -> None:
    stuck = MATRIX[name]
    of_start = stuck.start if "life == 2" in stuck.start else ""

    def measure() -> float:
        with serving(run_dir, stuck) as said:
            began = time.monotonic()

            def restart() -> None:
                if stuck.mode == "exec":
                    said.do("gateway.request_restart(force=True)")
                else:
                    said.signal(USR1)
                if of_start or stuck.restart == "clean":
                    said.hears("start of life 2")

            if stuck.restart == "clean":
                restart()
                return time.monotonic() - began
            took = seconds(said, stuck.restart, 1, restart)
            return took if is_free(run_dir) else 60

    in_time(measure, BUDGET + (0.4 if of_start else 0))


@pytest.mark.parametrize("hang", [FOREVER, "while True: pass", "import ctypes; ctypes.CDLL(None).sleep(60)"])
def test_a_stop_ends_the_first_start_on_time(run_dir: Path, hang: str) -> None:
    def measure() -> float:
        with lives(run_dir, Stuck(f"say('hangs', flush=True)\n{hang}")) as said:
            said.hears("^hangs")
            took = seconds(said, "forced", 0, lambda: said.signal(TERM))
            return took if is_free(run_dir) else 60

    in_time(measure)


def test_a_stop_that_comes_while_c_code_keeps_the_gil_is_heard_as_soon_as_it_gives_it_back(run_dir: Path) -> None:
    """Nothing in Python can hear it sooner."""
    stuck = Stuck(GIL, then="gateway.lanes.submit(lambda: (time.sleep(0.1), say('c', flush=True), gil(400_000), gil(60_000_000)))")

    def measure() -> float:
        with serving(run_dir, stuck) as said:
            said.hears("^c$")
            return seconds(said, "second", 0, lambda: said.signal(TERM))

    in_time(measure, BUDGET + 0.4)
