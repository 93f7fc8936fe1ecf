"""Kills, storms and restarts without end, in every mode that leaves this image.

    python -m tests.benchmarks.torture [KILLS [SEEDS [RESTARTS]]]      (200 100 200: about 25 minutes; 20 10 20: 3)

Prints what was left after each; an AssertionError with the seed where a promise broke.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from torture import after_restarts, flooded, killed

MODES = ("exec", "spawn", "overlap")


def main() -> None:
    """All of it, a line each."""
    kills, seeds, restarts = (int(word) for word in [*sys.argv[1:], "200", "100", "200"][:3])
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        rooms = (Path(directory) / str(number) for number in range(10**6))
        for mode in MODES:
            left = Counter(killed(next(rooms), mode, seed) for seed in range(kills))
            print(f"{mode:11} {kills} kills of old, new or both: {dict(left)}", flush=True)
            storms = [flooded(next(rooms), mode, seed) for seed in range(seeds)]
            storms.append(flooded(next(rooms), mode, 1, seconds=5, count=3000))
            print(f"{mode:11} {len(storms)} storms of signals: {dict(Counter(storms))}", flush=True)
        for mode, count in (("exec", restarts), ("spawn", restarts), ("in-process", 5 * restarts)):
            for number, used in after_restarts(next(rooms), mode, (5, count // 2, count)):
                print(f"{mode:11} after {number:4} restarts: {used}", flush=True)


if __name__ == "__main__":
    main()
