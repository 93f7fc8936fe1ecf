"""Lanes against ThreadPoolExecutor, and how soon a drain sees the end of its last task.

    python -m tests.benchmarks.lanes [rounds]

Both pools get the same number of threads and the same tasks, in turn, in the same process: each row is the
median of the rounds, so a machine that is busy with something else slows both.  Takes under a minute.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gatewaylock.core.deadline import Deadline
from gatewaylock.work.drain import Drain
from gatewaylock.work.lanes import Lanes
from gatewaylock.work.runs import Runs

TASKS = 10_000
LIMIT = 55.0  # seconds for all of it

Submit = Callable[[int], "Future[Any]"]


def nothing() -> None:
    """The task: what is measured is everything around it."""


def rate(submit: Submit, submitters: int) -> float:
    """Tasks per second, from the first submit to the last result."""

    def some(first: int) -> None:
        for future in [submit(n) for n in range(first, TASKS, submitters)]:
            future.result()

    threads = [threading.Thread(target=some, args=(n,)) for n in range(submitters)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return TASKS / (time.perf_counter() - began)


def executor_rate(threads: int, submitters: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        return rate(lambda n: pool.submit(nothing), submitters)


def lanes_rate(threads: int, submitters: int, count: int) -> float:
    """One lane lets *threads* tasks run at once, as the executor does; 10,000 lanes one each."""
    lanes, names = Lanes(threads=threads), [f"chat {n}" for n in range(count)]
    if count == 1:
        lanes.set_concurrency(names[0], threads)
    try:
        return rate(lambda n: lanes.submit(nothing, lane=names[n % count]), submitters)
    finally:
        lanes.shutdown()


def drain_delays(count: int) -> Iterator[float]:
    """Seconds from the last line of the last task to the end of the drain."""
    for _ in range(count):
        changed = threading.Condition(threading.Lock())
        lanes, runs = Lanes(threads=4, changed=changed), Runs(changed)
        ended: list[float] = []
        # long enough for the drain to wait already
        lanes.submit(lambda ended=ended: (time.sleep(0.01), ended.append(time.perf_counter())))
        lanes.close()
        Drain(lanes, runs, changed).run(Deadline.after(5), timeout_ms=5000)
        yield time.perf_counter() - ended[0]
        lanes.shutdown()


def main(rounds: int) -> None:
    end = Deadline.after(LIMIT)
    delays = sorted(drain_delays(100))
    print(
        f"end of the last task to end of the drain: median {statistics.median(delays) * 1e3:.3f} ms,"
        f" 99 % {delays[98] * 1e3:.3f} ms, worst {delays[-1] * 1e3:.3f} ms"
    )
    print("submitters   lanes threads |  executor     lanes  tasks/s |  ratio")
    for submitters, count, threads in product((1, 4), (1, 10_000), (1, 4, 16)):
        pairs: list[tuple[float, float]] = []
        while len(pairs) < rounds and not end.passed():
            pairs.append((executor_rate(threads, submitters), lanes_rate(threads, submitters, count)))
        if not pairs:
            print("out of time")
            return
        pool, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{submitters:10} {count:7} {threads:7} | {pool:9.0f} {ours:9.0f}          | {ours / pool:6.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
