"""Any bytes to the control socket: no crash, no hang, no leak, and the next client is served.

    python -m tests.benchmarks.fuzz_control [N]        (100,000 inputs: about six minutes)

The server is a process of its own, so that what it keeps can be told from what hypothesis keeps.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "control")]

from fake_desk import FakeDesk, client, heard, line, serving
from fuzz import LINES, fuzz
from hypothesis import HealthCheck, given, settings

from gatewaylock.core.plan import Verdict


class Forgetful(FakeDesk):
    """Counts what it is asked, and keeps none of it."""

    count = 0

    def post(self, request, answer) -> None:  # type: ignore[no-untyped-def]
        self.count += 1
        answer(Verdict.no("not now"))


def serve(where: str) -> None:
    """The server: for each line on stdin what it holds, until the end of stdin."""
    desk = Forgetful()
    with serving(Path(where), desk):
        for _ in sys.stdin:
            gc.collect()
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(len(os.listdir("/proc/self/fd")), threading.active_count(), most, desk.count, flush=True)


def main(inputs: int) -> None:
    """Send them, one connection each."""
    sent = [0, 0]
    with tempfile.TemporaryDirectory(prefix="gw-") as where:
        words = [sys.executable, "-m", "tests.benchmarks.fuzz_control", "serve", where]
        server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

        def holds() -> list[int]:
            assert server.stdin and server.stdout
            server.stdin.write("?\n")
            server.stdin.flush()
            return [int(word) for word in server.stdout.readline().split()]

        @settings(max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(LINES)
        def one(said: bytes) -> None:
            fuzz(path, said)
            sent[0] += 1
            sent[1] += len(said)

        path = str(Path(where) / "fake.sock")
        holds()
        for said in (b"x" * 70000, b"[" * 60000):  # the longest lines have been there once
            fuzz(path, said)
        before, began = holds(), time.monotonic()
        one()
        took, after = time.monotonic() - began, holds()
        with client(path) as asking:
            asking.sendall(line(verb="status"))
            assert heard(asking)["ok"]
        server.communicate()
    print(f"{sent[0]:,} inputs, {sent[1]:,} bytes in {took:.0f} s; {after[3]:,} were requests")
    for what, early, late in zip(("descriptors", "threads", "KB at most"), before, after, strict=False):
        print(f"{what:12} before {early:7}, after {late:7}")
    assert after[:2] == before[:2], "a leak"


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
