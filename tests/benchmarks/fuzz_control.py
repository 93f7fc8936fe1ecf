"""Any bytes to the control socket: no crash, no hang, no leak, and the next client is served.

python -m tests.benchmarks.fuzz_control [N]        (100,000 inputs: about six minutes)
"""

from __future__ import annotations

import gc
import os
import resource
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


def counts() -> tuple[int, int, int]:
    """(descriptors, threads, megabytes at most so far)."""
    gc.collect()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return len(os.listdir("/proc/self/fd")), threading.active_count(), most


def main(inputs: int) -> None:
    """Send them, one connection each."""
    desk, sent = FakeDesk(Verdict.no("not now")), [0, 0]
    with tempfile.TemporaryDirectory(prefix="gw-") as where, serving(Path(where), desk) as (_, path):

        @settings(max_examples=inputs, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(LINES)
        def one(said: bytes) -> None:
            fuzz(path, said)
            sent[0] += 1
            sent[1] += len(said)

        before, began = counts(), time.monotonic()
        one()
        took = time.monotonic() - began
        with client(path) as asking:
            asking.sendall(line(verb="status"))
            assert heard(asking)["ok"]
        after = counts()
    print(f"{sent[0]:,} inputs, {sent[1]:,} bytes in {took:.0f} s; {len(desk.requests):,} were requests")
    print("descriptors, threads, MB at most: before {} {} {}, after {} {} {}".format(*before, *after))
    assert after[:2] == before[:2], "a leak"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
