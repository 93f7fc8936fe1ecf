"""Whatever hangs: it ends on time, with the code that the README says, and the name is free.

Each row is a gateway with something in it that never ends, stopped by SIGTERM or restarted by SIGUSR1.  The
time is from the signal to ``waitpid``.
"""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from speaking import PROGRAMS, Program, gateway_argv, python, started

from gatewaylock import GatewayLock

TERM, INT, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1
BUDGET, LATE = 0.5, 0.25  # seconds: of a stop, and of a restart; how much later the end may be
BUSY = 2.0  # seconds more where nobody counts for how long a process had to wait for a processor
PRESSURE = Path("/proc/pressure/cpu")
HALF = BUDGET / 2
FORCED = "shutdown timed out; exiting without full cleanup|start timed out; exiting"
FOREVER = "threading.Event().wait()"
JAM = "jam = threading.Lock(); jam.acquire()\n"
LOOP = "def loop():\n    while True: pass\n"
GIL = "import ctypes; gil = ctypes.PyDLL(None).usleep\n"
#: C without the GIL, on the main thread: sleep() would end as soon as a signal comes
MUTEX = "import ctypes; mutex = ctypes.create_string_buffer(64); [ctypes.CDLL(None).pthread_mutex_lock(mutex) for _ in 'ab']"
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
    "lane task in C with the GIL": Stuck(
        GIL + "gateway.lanes.submit(lambda: gateway.stop_requested.wait() and gil(60_000_000))",
        stop="second",
        restart="",
    ),
    "run that ignores its abort": Stuck("gateway.runs.register('deaf', abort=lambda: None)"),
    "abort callback": Stuck(JAM + "gateway.runs.register('deaf', abort=jam.acquire)"),
    "is_compacting callback": Stuck(
        JAM + "gateway.runs.register('deaf', abort=jam.acquire, is_compacting=jam.acquire)"
    ),
    "on_wait callback": Stuck(
        JAM + "gateway.lanes.submit(int, warn_after=0, on_wait=lambda *a: jam.acquire())"
    ),
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
    "atexit hook": Stuck(ATEXIT, stop="forced"),
    "atexit hook, supervisor": Stuck(ATEXIT, stop="", restart="forced", mode="supervisor"),
    "start() of the next life": Stuck(f"gateway.life == 2 and {FOREVER}", stop="", restart="forced"),
    "start() of the next life in C with the GIL": Stuck(
        GIL + "gateway.life == 2 and gil(60_000_000)", stop="", restart="second"
    ),
    "log handler on a full pipe": Stuck(then=LOG_FULL, stop="forced"),
    "log handler on a full pipe, exec": Stuck(then=LOG_FULL, stop="", mode="exec"),
    "stderr, a full pipe": Stuck(then=STDERR_FULL, stop="mute"),
    "stderr, a full pipe, exec": Stuck(then=STDERR_FULL, stop="", mode="exec"),
}


def lives(run_dir: Path, stuck: Stuck, more: str = "") -> AbstractContextManager[Program]:
    start = 10 if stuck.mode == "exec" else BUDGET  # an interpreter has to start in it
    limits = more or f"limits=Limits(drain={HALF}, shutdown={HALF}, stop={BUDGET}, start={start})"
    options = f"dict(restart_mode={stuck.mode!r}, allow_sigusr1=True, {limits})"
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
    """*measure* gives the seconds that it took, which are to be *budget* and a little.

    On a busy machine it may take longer by the time for which somebody had to wait for a processor.  What
    fails is tried again, for a machine that is too busy loses lines and takes the second line of defence
    for the first.
    """
    faults = []
    for _ in range(3):
        before = starved()
        try:
            took = measure()
        except AssertionError as error:
            faults.append(str(error))
            continue
        waited = BUSY if before is None else (starved() or before) - before
        if took <= budget + LATE + waited:
            return
        faults.append(f"ended after {took:.3f} s of {budget} s; the machine was busy for {waited:.3f} s")
    raise AssertionError("\n".join(faults))


def starved() -> float | None:
    """Seconds since boot in which a process that could run had to wait; None where nobody counts them."""
    try:
        return int(PRESSURE.read_text().split("total=")[1].split()[0]) / 1e6
    except OSError:
        return None


@pytest.mark.parametrize("counted", [True, False])
def test_what_ends_late_fails_here(monkeypatch: pytest.MonkeyPatch, counted: bool) -> None:
    if not counted:
        monkeypatch.setattr(sys.modules[__name__], "PRESSURE", Path("/nowhere"))
    in_time(lambda: BUDGET)
    with pytest.raises(AssertionError, match=r"ended after 60\.000 s of 0\.5 s"):
        in_time(lambda: 60)


def seconds(said: Program, how: str, code: int, act: Callable[[], object]) -> float:
    """From *act* to the end, which is as announced."""
    began = time.monotonic()
    act()
    said.popen.wait(30)
    took = time.monotonic() - began
    assert said.ends() == (1 if how == "second" else code), said.text()
    if how != "mute":
        assert bool(re.search(FORCED, said.text())) == (how == "forced"), said.text()
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


@pytest.mark.parametrize(
    ("hang", "life"),
    [
        (FOREVER, 1),
        (FOREVER, 2),
        ("while True: pass", 1),
        (MUTEX, 1),
        (MUTEX, 2),
    ],
)
def test_a_stop_ends_a_start_on_time(run_dir: Path, hang: str, life: int) -> None:
    stuck = Stuck(f"if gateway.life == {life}:\n say('hangs', flush=True)\n {hang}")

    def measure() -> float:
        with lives(run_dir, stuck, f"limits=Limits(stop={BUDGET}, start=60)") as said:
            if life == 2:
                said.hears("serving: ")
                said.signal(USR1)
            said.hears("^hangs")
            took = seconds(said, "forced", 0, lambda: said.signal(TERM))
            return took if is_free(run_dir) else 60

    in_time(measure)


def test_a_stop_during_a_call_that_keeps_the_gil_is_heard_when_the_call_gives_it_back(run_dir: Path) -> None:
    """Nothing in Python can hear it sooner; the deadline counts from there."""
    calls = "go.wait(), say('c', flush=True), gil(300_000), gateway.stop_requested.wait(), gil(60_000_000)"
    stuck = Stuck(GIL + "go = threading.Event()\n", then=f"gateway.lanes.submit(lambda: ({calls}))")

    def measure() -> float:
        with serving(run_dir, stuck) as said:
            said.do("go.set()")
            said.hears("^c$")
            return seconds(said, "second", 0, lambda: said.signal(TERM))

    in_time(measure, BUDGET + 0.3)


@pytest.mark.parametrize("name", ["pause", "resume"])
def test_a_stop_is_heard_while_the_admission_hangs(run_dir: Path, name: str) -> None:
    """In a quiet, where no watchdog stands behind the loop."""
    hangs = f"Server.{name} = lambda self: (say('hangs', flush=True), {FOREVER})"
    stuck = Stuck(f"Server.pause = Server.resume = lambda self: None; {hangs}")
    quiet = "from gatewaylock.core.plan import Request, Action; gateway.post(Request(Action.QUIET, 'x', limit=0.1))"

    def measure() -> float:
        with serving(run_dir, stuck) as said:
            said.do(quiet)
            said.hears("^hangs")
            said.hears("has not come back")
            took = seconds(said, "clean", 0, lambda: said.signal(TERM))
            return took if is_free(run_dir) else 60

    in_time(measure)


def test_a_log_that_nobody_reads_loses_neither_restarts_nor_the_stop_after_them(run_dir: Path) -> None:
    """Not permitted, permitted, then a stop: each would have been the last that is heard."""

    def measure() -> float:
        with serving(run_dir, Stuck(then=LOG_FULL)) as said:
            said.do("gateway.restarts.allow_external(False); say('forbidden', flush=True)")
            said.hears("forbidden")
            said.signal(USR1)
            said.do("gateway.restarts.allow_external(); gateway.request_restart()")
            said.hears("start of life 2")
            said.signal(USR1)
            said.hears("start of life 3")
            return seconds(said, "mute", 0, lambda: said.signal(TERM))

    in_time(measure)


@pytest.mark.parametrize("how", ["stop", "restart"])
@pytest.mark.parametrize("path", ["/wait", "/loop", "/c", "/body"])
def test_a_request_that_is_never_answered_holds_nobody(run_dir: Path, path: str, how: str) -> None:
    """And its client sees the end of the connection."""
    pytest.importorskip("waitress")
    limits = f"--stop-timeout {BUDGET} --drain-timeout {HALF} --shutdown-timeout {BUDGET}".split()
    words = ["run", "stuck_app:app", "--run-dir", run_dir, "--bind", "127.0.0.1:0", *limits]

    def measure() -> float:
        with started(
            *gateway_argv(*words),
            "--restart-mode",
            "in-process",
            "--allow-sigusr1",
            "--threads",
            "2",
            cwd=PROGRAMS,
        ) as said:
            port = int(said.hears(r"serving: .*address=127.0.0.1:(\d+)")[1])
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                said.hears(f"asked {path}")
                if how == "stop":
                    took = seconds(said, "mute", 0, lambda: said.signal(TERM))
                else:
                    began = time.monotonic()
                    said.signal(USR1)
                    said.hears("serving: .* life=2 ")
                    took = time.monotonic() - began
                assert to_its_end(client).count(b"HTTP/1.1") <= 1
            return took if how == "restart" or is_free(run_dir, "gateway") else 60

    in_time(measure, BUDGET if how == "stop" else HALF + BUDGET)


def to_its_end(client: socket.socket) -> bytes:
    """What comes before the connection ends; TimeoutError when it does not."""
    client.settimeout(10)
    said = b""
    with suppress(ConnectionError):
        while chunk := client.recv(65536):
            said += chunk
    return said


@pytest.mark.parametrize(
    ("pause", "number", "code"), [(0.1, TERM, 0), (0.1, USR1, 1), (BUDGET + 0.4, TERM, 0)]
)
def test_a_process_that_was_suspended_in_the_drain_has_no_more_time_than_it_had(
    run_dir: Path, pause: float, number: signal.Signals, code: int
) -> None:
    """Suspended through its deadline: which line of the watchdog wakes first is the kernel's choice."""
    stuck = Stuck(start=f"gateway.lanes.submit({FOREVER[:-2]})", close=FOREVER)

    def measure() -> float:
        with serving(run_dir, stuck) as said:
            began = time.monotonic()
            said.signal(number)
            said.hears("draining 1 ")
            said.signal(signal.SIGSTOP)
            threading.Event().wait(pause)
            said.signal(signal.SIGCONT)
            ended = said.popen.wait(30)
            took = time.monotonic() - began
            assert ended in ([code] if pause < BUDGET else [code, 1]), said.text()
            said.hears(f"{FORCED}|Timeout")
            return took if is_free(run_dir) else 60

    in_time(measure, max(BUDGET, pause))


@pytest.mark.parametrize("days", [1, -1])
@pytest.mark.parametrize("how", ["drain", "close"])
def test_a_step_of_the_wall_clock_moves_no_deadline(run_dir: Path, days: int, how: str) -> None:
    """``time.time`` for all of the program, from the middle of the drain or of close() on."""
    step = f"time.time = lambda real=time.time: real() + {days} * 86400"
    task = f"gateway.lanes.submit({FOREVER[:-2]})" if how == "drain" else ""
    close = FOREVER if how == "close" else ""

    def measure() -> float:
        with serving(run_dir, Stuck(task, close)) as said:

            def stop() -> None:
                said.signal(TERM)
                said.hears("draining 1 " if how == "drain" else r"close\(")
                said.do(step)

            return seconds(said, "clean" if how == "drain" else "forced", 0, stop)

    in_time(measure)


@pytest.mark.parametrize("days", [1, -1])
def test_a_step_of_the_wall_clock_loses_no_permit_and_hurries_no_restart(run_dir: Path, days: int) -> None:
    with lives(run_dir, Stuck(), "limits=Limits(stop=30)") as said:
        said.hears("serving: ")
        said.do("gateway.restarts.allow_external(False); gateway.restarts.authorize()")
        said.do("scheduled = gateway.restarts.schedule(60)")
        said.do(f"time.time = lambda real=time.time: real() + {days} * 86400; say('stepped', flush=True)")
        said.hears("stepped")
        said.signal(USR1)
        said.hears("serving: .* life=2 ")
        said.do("say('pending', gateway.restarts.cancel(), flush=True)")
        said.hears("pending True")
        said.signal(TERM)
        assert said.ends() == 0


@pytest.mark.parametrize(("last", "code"), [(TERM, 143), (INT, 130)])
def test_the_third_stop_ends_it_at_once_whatever_hangs(
    run_dir: Path, last: signal.Signals, code: int
) -> None:
    stuck = Stuck(close=FOREVER, then=LOG_FULL)

    def measure() -> float:
        with serving(run_dir, stuck, "limits=Limits(stop=30)") as said:
            said.signal(TERM)
            said.hears(r"close\(")
            said.do("gateway.request_stop(); say('asked', flush=True)")
            said.hears("asked")
            took = seconds(said, "mute", code, lambda: said.signal(last))
            return took if is_free(run_dir) else 60

    in_time(measure, 0.2)
