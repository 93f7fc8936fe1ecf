"""Does it cost anything to be watched?  A drain with nobody, and with a hundred who watch it.

    python -m tests.benchmarks.watch        (about two minutes)

The gateway drains 50,000 tasks that do nothing (its threads are busy all the time) or 1,600 of 10 ms (they
mostly wait), in eight lanes.  Those who watch are one other process, which reads all that comes.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "control")]

from fake_desk import FakeDesk, client, heard, line, serving

from gatewaylock.core.events import Event

TIMES, MANY = 15, 100
GATEWAY = """
import sys, threading, time
from gatewaylock import Gateway, Limits
go, began = threading.Event(), 0.0
class Server:
    def close(self, reason, *, restart_expected_ms): pass
def start(gateway):
    for lane in range(8):
        gateway.lanes.submit(go.wait, lane=str(lane), warn_after=1e9)
    for n in range({count}):
        gateway.lanes.submit({work}, lane=str(n % 8), warn_after=1e9)
    print("ready", flush=True)
    return Server()
def hear(event):
    global began
    if event.kind == "phase" and event.phase == "draining":
        began = time.monotonic()
        go.set()
    elif event.kind == "phase" and event.phase == "closing":
        print(time.monotonic() - began, flush=True)
gateway = Gateway("watched", run_dir=sys.argv[1], limits=Limits(stop=60.0))
gateway._vitals.news.subscribe(hear)
raise SystemExit(gateway.run(start))
"""
WATCHERS = """
import selectors, socket, sys
selector, lines, heard = selectors.DefaultSelector(), 0, set()
for _ in range(int(sys.argv[2])):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall(b'{"v": 1, "verb": "watch"}\\n')
    selector.register(s, selectors.EVENT_READ)
while selector.get_map():
    for key, _ in selector.select():
        said = key.fileobj.recv(1 << 20)
        lines += said.count(b"\\n")
        if not said:
            selector.unregister(key.fileobj)
        elif key.fd not in heard:
            heard.add(key.fd)
            if len(heard) == int(sys.argv[2]):
                print("watching", flush=True)
print(lines, flush=True)
"""
LOADS = {"50,000 tasks that do nothing": (50_000, "int"), "1,600 tasks of 10 ms": (1600, "time.sleep, 0.01")}


def drained(count: int, work: str, watching: int) -> tuple[float, int]:
    """(seconds that the drain took, lines that those who watched have heard)."""
    with tempfile.TemporaryDirectory(prefix="gw-") as where:
        gateway = _speaks(GATEWAY.format(count=count, work=work), where)
        assert gateway.stdout and gateway.stdout.readline() == "ready\n"
        path = os.path.join(where, "watched.sock")
        watchers = _speaks(WATCHERS, path, str(watching))
        assert watchers.stdout
        if watching:
            assert watchers.stdout.readline() == "watching\n"
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(path)
            asking.sendall(json.dumps({"v": 1, "verb": "stop"}).encode() + b"\n")
            assert b'"ok": true' in asking.recv(4096)
        took = float(gateway.stdout.readline())
        gateway.wait()
        lines = int(watchers.stdout.readline())
        watchers.wait()
    return took, lines


def _speaks(program: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def told(watching: int, times: int = 2000) -> float:
    """Seconds that it costs the loop to tell an event."""
    event = Event("asked", "serving", 1, 1, {"text": "x"})
    with tempfile.TemporaryDirectory(prefix="gw-") as where, ExitStack() as stack:
        control, path = stack.enter_context(serving(Path(where), FakeDesk()))
        for _ in range(watching):
            connection = stack.enter_context(client(path))
            connection.sendall(line(verb="watch"))
            heard(connection)
        costs = []
        for _ in range(times):
            began = time.perf_counter()
            control.tell(event)
            costs.append(time.perf_counter() - began)
            time.sleep(0.001)  # as far apart as events are at most
        return statistics.median(costs)


def main() -> None:
    """Print the table."""
    for what, (count, work) in LOADS.items():
        pairs = [(drained(count, work, 0)[0], *drained(count, work, MANY)) for _ in range(TIMES)]
        alone, watched, lines = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{what:30} drained in {alone * 1e3:7.1f} ms, watched by {MANY} in {watched * 1e3:7.1f} ms"
            f" ({lines / MANY:.0f} lines each)"
        )
    for watching in (0, 1, 50):
        print(f"telling an event to {watching:3} costs the loop {told(watching) * 1e6:6.1f} microseconds")


if __name__ == "__main__":
    main()
