"""A system call that fails once, in one of the images of a restart: never a wedge, never a free name beside a gateway."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from speaking import PROGRAMS, Program, eventually, started
from torture import is_free

ERRORS = (errno.EACCES, errno.EMFILE, errno.ENOSPC, errno.EIO, errno.ENOMEM)
MODES = {"exec": ("first", "proof", "next"), "spawn": ("first", "next"), "overlap": ("first", "next")}
ANSWERED = r"life=2 |restart refused|restart failed|stay alive|falling back|given up|the gateway has ended"
FAILURES = 2  # of each image of each mode


def pids(run_dir: Path) -> list[int]:
    """All processes of this gateway."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if bytes(run_dir) in words and b"-c" not in words:
                found.append(int(entry.name))
    return found


def told(said: Program, run_dir: Path) -> str:
    """Start it, restart it, stop it; what it said.  AssertionError where it hangs."""
    over = lambda: said.popen.poll() is not None  # noqa: E731
    assert eventually(lambda: over() or "serving:" in said.text()), said.text()
    if not over():
        said.signal(signal.SIGUSR1)
        assert eventually(lambda: re.search(ANSWERED, said.text()) or (over() and not pids(run_dir)), 15), (
            f"a restart was not answered\n{said.text()}"
        )
    for patience in (3, 10):  # the one that served last, then whoever is left
        serving = [int(pid) for pid in re.findall(r"serving: .*pid=(\d+)", said.text())][-1:]
        for pid in serving if patience == 3 else pids(run_dir):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if eventually(lambda: not pids(run_dir), patience):
            break
    assert not pids(run_dir), f"a stop was not heard\n{said.text()}"
    assert is_free(run_dir, "faulty"), said.text()
    return said.text()


def case(run_dir: Path, mode: str, image: str, op: str = "-", at: int = 0, error: int = 0) -> str:
    """One process, or those that follow it."""
    words = [run_dir, mode, image, op, str(at), str(error)]
    with started(sys.executable, PROGRAMS / "faulty.py", *words) as said:
        try:
            text = told(said, run_dir)
        finally:
            for pid in pids(run_dir):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    if "struck at" in text:
        words = (os.strerror(error), f"Errno {error}", "can't start new thread")
        assert any(word in text for word in words), f"nobody says what happened\n{text}"
    return text


def places(run_dir: Path, mode: str, image: str) -> list[tuple[str, int]]:
    """Every call that *image* makes, and how often."""
    text = case(run_dir, mode, "none")
    image = "first" if image == "proof" else image  # which makes the first of them, unheard
    found = re.search(rf"^calls of {image}: (.*)$", text, re.MULTILINE)
    assert found, text
    return [(op, at) for op, count in json.loads(found[1]).items() for at in range(1, count + 1)]


@pytest.mark.parametrize(("mode", "image"), [(mode, image) for mode in MODES for image in MODES[mode]])
def test_a_call_that_fails_in_a_real_restart_wedges_nothing(run_dir: Path, mode: str, image: str) -> None:
    draw = random.Random(f"{mode} {image}")
    for op, at in draw.sample(places(run_dir, mode, image), FAILURES):
        case(run_dir, mode, image, op, at, draw.choice(ERRORS))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose child a process is")
def test_a_child_of_the_last_image_that_cannot_be_waited_for_is_told_of(run_dir: Path) -> None:
    assert "stays as a zombie" in case(run_dir, "exec", "next", "host.waitid", 1, errno.EIO)
