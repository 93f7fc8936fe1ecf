"""What metrics, status and the page cost a task: lanes without the admin address, with it, and with who asks.

    python -m tests.benchmarks.scrape [rounds]

Each row is a process of its own with one gateway that does short tasks for four seconds; the rows come in turn,
so a machine that is busy with something else slows all of them.  In the last one another process asks for /metrics
and /status every second and watches the page twice.  The processor's time is that of the whole gateway, its admin
threads as well; in brackets the middle half of the rounds.  About three minutes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gatewaylock import Gateway
from gatewaylock.admin import Admin
from tests.benchmarks.lanes import TASKS, nothing, rate

ROWS = ("no admin address", "with it", "asked every second, and watched")
LANES, WARM, SECONDS = 1000, 1.5, 4.0
CLIENT = """
import sys, threading, time, urllib.request
def stream():
    with urllib.request.urlopen(sys.argv[1] + "events?page") as answer:
        while answer.read1(65536): pass
for _ in range(2):
    threading.Thread(target=stream, daemon=True).start()
while True:
    for path in ("metrics", "status"):
        urllib.request.urlopen(sys.argv[1] + path).read()
    time.sleep(1)
"""


class Server:
    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        """Nothing to end."""


class Told(Admin):
    """It says where it is."""

    def open(self, listener, insight):  # type: ignore[no-untyped-def]
        super().open(listener, insight)
        self.port = listener.getsockname()[1]


@contextmanager
def gateway(admin: Admin | None) -> Iterator[Gateway]:
    """One that serves, on a thread."""
    up = threading.Event()
    with tempfile.TemporaryDirectory(prefix="gw-") as run_dir:
        made = Gateway("bench", run_dir=run_dir, annex=admin, threads=16)
        made.on("phase", lambda event: up.set() if event.phase == "serving" else None)
        thread = threading.Thread(target=lambda: made.run(lambda gateway: Server(), install_signals=False))
        thread.start()
        assert up.wait(20)
        try:
            yield made
        finally:
            made.request_stop()
            thread.join()


def measure(row: int) -> tuple[float, float]:
    """(tasks per second, microseconds of the processor per task)."""
    admin = Told("127.0.0.1", 0) if row else None
    names = [f"chat {n}" for n in range(LANES)]
    with gateway(admin) as made:
        argv = [sys.executable, "-c", CLIENT, f"http://127.0.0.1:{admin.port if admin else 0}/"]
        client = subprocess.Popen(argv) if row == 2 else None
        for seconds in (WARM, SECONDS):  # what is imported once and for all is imported then
            tasks, since, busy = 0, time.perf_counter(), time.process_time()
            while time.perf_counter() - since < seconds:
                rate(lambda n: made.lanes.submit(nothing, lane=names[n % LANES]), 4)
                tasks += TASKS
            wall, busy = time.perf_counter() - since, time.process_time() - busy
        if client:
            client.kill()
            client.wait()
    return tasks / wall, busy / tasks * 1e6


def main(rounds: int) -> None:
    found: list[list[tuple[float, float]]] = [[] for _ in ROWS]
    for _ in range(rounds):
        for row in range(len(ROWS)):
            argv = [sys.executable, "-m", "tests.benchmarks.scrape", "--row", str(row)]
            said = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
            found[row].append((float(said[0]), float(said[1])))
    for name, pairs in zip(ROWS, found, strict=True):
        speed, busy = (statistics.quantiles(column, n=4) for column in zip(*pairs, strict=True))
        print(
            f"{name:<32} {speed[1]:7.0f} tasks/s ({speed[0]:.0f} to {speed[2]:.0f})"
            f"  {busy[1]:6.2f} us of the processor per task ({busy[0]:.2f} to {busy[2]:.2f})"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--row"]:
        print(*measure(int(sys.argv[2])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
