"""100,000 inputs to the admin address, and as many to each room that reads what comes.

    python -m tests.benchmarks.fuzz_admin [inputs]

Each says how long it took and how many descriptors it left; then 20,000 random connections say how much memory
the server keeps (hypothesis itself keeps far more than we could lose).  About half an hour.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "admin")]

import test_admin_fuzz as fuzz
from paper_site import rest, serving

LINE = b"POST /made HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi"
CLAIMS: tuple[Callable[[int], None], ...] = (
    fuzz.bytes_over_tcp,
    fuzz.heads,
    fuzz.steering,
    fuzz.hosts,
    fuzz.histories,
    fuzz.texts,
)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def memory() -> float:
    """In use now, in MB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def kept(connections: int) -> None:
    """Memory after each quarter of so many connections that say anything."""
    dice = random.Random(1)
    with serving() as (_, site, address):
        for n in range(connections + 1):
            if n % (connections // 4) == 0:
                site.asked.clear()
                print(f"{n:>6} connections: {memory():.1f} MB")
            with socket.create_connection(address) as client:
                client.sendall(LINE if n % 3 else dice.randbytes(dice.randrange(200)))
                if n % 4:
                    client.shutdown(socket.SHUT_WR)
                    rest(client)


def main(inputs: int) -> None:
    kept(20_000)
    for claim in CLAIMS:
        before, since = descriptors(), time.perf_counter()
        claim(inputs)
        took, left = time.perf_counter() - since, descriptors() - before
        print(f"{claim.__name__:<16} {inputs} inputs, {took:.0f} s, {left} descriptors left", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
