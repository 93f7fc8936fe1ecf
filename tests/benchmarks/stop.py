"""SIGTERM to the end of an idle gateway, a restart of it, and what importing costs.

    python -m tests.benchmarks.stop        (about 25 s)

The physical limit stands beside each: a bare interpreter that starts, or that is told to end.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMES = 15
BARE = "import signal, threading, logging; print('serving', flush=True); signal.sigwait([signal.SIGTERM])"
BARE = "import signal; signal.pthread_sigmask(0, [15]);" + BARE


def milliseconds(call: Callable[[], object]) -> float:
    """One call."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def stopped(words: list[str]) -> float:
    """SIGTERM to the end of the process."""
    program = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert program.stdout
    while "serving" not in (line := program.stdout.readline()):
        assert line, "it ended"
    time.sleep(0.1)  # idle, as a gateway is
    program.send_signal(signal.SIGTERM)
    return milliseconds(program.wait)


def restarted(words: list[str]) -> float:
    """SIGUSR1 to the serving of the next life, preflight and exec included."""
    program = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert program.stdout

    def serves() -> None:
        assert program.stdout
        while "serving" not in program.stdout.readline():
            pass

    serves()
    program.send_signal(signal.SIGUSR1)
    took = milliseconds(serves)
    program.kill()
    program.wait()
    return took


def started(program: str) -> float:
    """A process that runs *program*, from start to end."""
    return milliseconds(lambda: subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        run = [sys.executable, "-m", "gatewaylock", "run", "--run-dir", directory, "--bind", "127.0.0.1:0"]
        stops = [(stopped([sys.executable, "-c", BARE]), stopped(run)) for _ in range(TIMES)]
        restarts = [restarted([*run, "--allow-sigusr1"]) for _ in range(TIMES // 3)]
    imports = ("pass", "import gatewaylock", "from gatewaylock import Gateway")
    starts = [[started(program) for program in imports] for _ in range(TIMES)]
    bare, ours = (statistics.median(column) for column in zip(*stops, strict=True))
    nothing, package, loop = (statistics.median(column) for column in zip(*starts, strict=True))
    print(f"SIGTERM to exit, bare Python         {bare:7.1f} ms")
    print(f"SIGTERM to exit, idle gateway        {ours:7.1f} ms")
    print(f"SIGUSR1 to the next life, exec       {statistics.median(restarts):7.1f} ms")
    print(f"python -c pass                       {nothing:7.1f} ms")
    print(f"import gatewaylock                   {package - nothing:+7.1f} ms")
    print(f"from gatewaylock import Gateway      {loop - nothing:+7.1f} ms")


if __name__ == "__main__":
    main()
