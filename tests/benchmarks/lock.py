"""The lock beside bare ``flock``, and how soon a waiter holds it.

    python -m tests.benchmarks.lock        (about 15 s)

Ratios are of medians measured in turns in this one run.
"""

from __future__ import annotations

import fcntl
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gatewaylock import GatewayLock

ROUNDS, EACH, WAITS = 7, 300, 15
ROOT = Path(__file__).resolve().parents[2]


def microseconds(call: Callable[[], object]) -> float:
    """One call, averaged over EACH of them."""
    start = time.perf_counter()
    for _ in range(EACH):
        call()
    return (time.perf_counter() - start) / EACH * 1e6


def bare(path: str) -> None:
    """What the kernel alone costs: open, lock, close."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.close(fd)


def ours(lock: GatewayLock) -> None:
    """Directory checked, file opened and locked, inode and guard checked, payload written; given back."""
    lock.acquire(0)
    lock.release()


def after_release(run_dir: str) -> float:
    """Milliseconds from the release to the waiter's hold, in one process."""
    first, second = GatewayLock(run_dir=run_dir), GatewayLock(run_dir=run_dir)
    first.acquire(0)
    held: list[float] = []

    def wait() -> None:
        second.acquire(10)
        held.append(time.perf_counter())

    waiter = threading.Thread(target=wait)
    waiter.start()
    while not any(thread.name == "gatewaylock-lock-wait" for thread in threading.enumerate()):
        time.sleep(0.001)
    time.sleep(0.02)
    start = time.perf_counter()
    first.release()
    waiter.join()
    second.release()
    return (held[0] - start) * 1e3


def after_kill(run_dir: str) -> float:
    """Milliseconds from ``kill -9`` of another process to our hold."""
    program = f"from gatewaylock import GatewayLock as L; L(run_dir={run_dir!r}).acquire(); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert holder.stdout and holder.stdout.readline()
    lock = GatewayLock(run_dir=run_dir)
    killed: list[float] = []

    def kill() -> None:
        killed.append(time.perf_counter())
        holder.kill()

    threading.Timer(0.1, kill).start()
    lock.acquire(10)
    waited = time.perf_counter() - killed[0]
    lock.release()
    holder.communicate()
    return waited * 1e3


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        lock, path = GatewayLock(run_dir=directory), os.path.join(directory, "bare")
        lock.acquire(0)
        lock.release()  # portalocker is imported now
        pairs = [(microseconds(lambda: bare(path)), microseconds(lambda: ours(lock))) for _ in range(ROUNDS)]
        flock, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
        released = statistics.median(after_release(directory) for _ in range(WAITS))
        killed = statistics.median(after_kill(directory) for _ in range(WAITS))
    print(f"open, flock, close              {flock:8.1f} us")
    print(f"GatewayLock acquire, release    {mine:8.1f} us   {mine / flock:.1f} x")
    print(f"waiter holds after release      {released:8.2f} ms")
    print(f"waiter holds after kill -9      {killed:8.2f} ms")


if __name__ == "__main__":
    main()
