"""A gateway under a real systemd: everything that is claimed of it, one line each, with figures.

    python -m tests.benchmarks.systemd [--newer ROOT] [CLAIM...]        (two minutes; needs root, see box.py)

--newer ROOT boots the systemd whose Debian packages are unpacked there in place of the machine's:

    apt-get download systemd libsystemd-shared libsystemd0       (of bookworm-backports: 254)
    for deb in *.deb; do dpkg -x $deb ROOT; done
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from supervisors import box, claims, late, printed

EVERY = (*claims.EVERY, *late.EVERY, *printed.EVERY)


@contextmanager
def newer(root: Path) -> Iterator[None]:
    """The box boots what is in *root*, with its own libraries."""
    with tempfile.TemporaryDirectory(prefix="gw-") as folder:
        libraries = root / "usr/lib/x86_64-linux-gnu"
        program = Path(folder, "systemd")
        program.write_text(
            f"#!/bin/sh\nexport LD_LIBRARY_PATH={libraries}/systemd:{libraries}:{root}/lib/x86_64-linux-gnu\n"
            f'exec {root}/lib/systemd/systemd "$@"\n'
        )
        program.chmod(0o755)
        box.SYSTEMD = (str(program),)
        yield


def show(claim: claims.Claim) -> bool:
    """Whether it holds."""
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="gw-") as work,
        box.boxed(Path(work), "--log-level=debug") as booted,
    ):
        try:
            figures, holds = claim(booted), True
        except AssertionError as error:
            figures, holds = f"FAILED: {error}", False
    print(f"{claim.__name__:14} {figures}   ({time.monotonic() - began:.0f} s)", flush=True)
    return holds


def main() -> int:
    """The number of claims that do not hold."""
    words = sys.argv[1:]
    if words[:1] == ["--newer"]:
        with newer(Path(words[1]).resolve()):
            return run([*EVERY, claims.notify_reload], words[2:])
    return run(list(EVERY), words)


def run(every: list[claims.Claim], names: list[str]) -> int:
    """Those of *names*, or all."""
    if why := box.why_no_box():
        print(why)
        return 1
    print(box._systemd())
    return sum(not show(claim) for claim in every if not names or claim.__name__ in names)


if __name__ == "__main__":
    raise SystemExit(main())
