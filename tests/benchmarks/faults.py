"""Each system call of a gateway fails, with each error, in each of its positions.

    python -m tests.benchmarks.faults             every case inside this process (10,700: about 12 minutes)
    python -m tests.benchmarks.faults real [N]    N drawn cases of each image in real restarts (40: about 6 minutes)

Prints what was wrong, a case a line, and exits 1 when something was.
"""

from __future__ import annotations

import errno
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from faults import ERRORS, Fault
from plays import STORIES
from theatre import Theatre


def inside() -> Iterator[str]:
    """All cases; yields what was wrong with each."""
    theatre = Theatre()
    for story in STORIES:
        began, count = time.monotonic(), 0
        for op, calls in theatre.calls(story).items():
            for fault in (Fault(op, at, error) for at in range(1, calls + 1) for error in ERRORS):
                count += 1
                found = theatre.tell(story, fault)
                yield f"{story}: {fault} in {theatre.faults.site[:3]}: {found}" if found else ""
        print(f"{story:14} {count:5} cases in {time.monotonic() - began:.0f} s", flush=True)


def real(count: int) -> Iterator[str]:
    """Drawn cases in processes; yields what was wrong with each."""
    from processes.test_image_faults import MODES, case, places

    draw = random.Random(count)
    for mode, image in [(name, image) for name, images in MODES.items() for image in images]:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="gw-") as directory:
            rooms = (Path(directory) / str(number) for number in range(10**6))
            everywhere = places(next(rooms), mode, image)
            for op, at in draw.sample(everywhere, min(count, len(everywhere))):
                error = draw.choice([error for error in ERRORS if error != errno.EINTR])
                try:
                    case(next(rooms), mode, image, op, at, error)
                except AssertionError as fault:
                    yield f"{mode}, {image}: {op} {at} {errno.errorcode[error]}: {fault}"
                else:
                    yield ""
        print(f"{mode:8} {image:5} {time.monotonic() - began:.0f} s", flush=True)


def main() -> int:
    """Run, and count."""
    words = sys.argv[1:]
    cases = real(int((words[1:] or ["40"])[0])) if words[:1] == ["real"] else inside()
    total = broken = 0
    for found in cases:
        total, broken = total + 1, broken + bool(found)
        if found:
            print(found, flush=True)
    print(f"{total} cases, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
