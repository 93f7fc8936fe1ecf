"""Kill it, flood it, restart it without end; and say what was left.  For the tests in short, for benchmarks in long."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from speaking import Program, environment, eventually, gateway, gateway_argv, started

from gatewaylock import GatewayLock, GatewayLockError

STOPS = (signal.SIGTERM, signal.SIGINT)
RESTARTS = (signal.SIGUSR1, signal.SIGHUP)  # what starts here has no terminal


def pids(run_dir: Path, verb: str = "run") -> list[int]:
    """Every process that has *run_dir* in its command line, but for the questions of the tests."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if bytes(run_dir) in words and verb.encode() in words:
                found.append(int(entry.name))
    return found


def kill_all(run_dir: Path) -> None:
    """Every process of *run_dir*; also a successor that is just being forked: no command line yet, but the lock."""

    def is_gone() -> bool:
        for pid in pids(run_dir):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids(run_dir) and is_free(run_dir)

    assert eventually(is_gone, 20)


@contextmanager
def page(run_dir: Path, mode: str, *words: str) -> Iterator[Program]:
    """A gateway that serves the built-in page; all its successors are killed at the end."""
    argv = gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--restart-mode", mode, *words)
    with started(*argv) as said:
        try:
            said.hears("serving: ")
            yield said
        finally:
            kill_all(run_dir)


def serves(run_dir: Path) -> bool:
    """Whether a gateway says that it serves."""
    return " is serving" in gateway("status", "--run-dir", run_dir).stdout


def is_quiet(run_dir: Path) -> bool:
    """Whether a gateway serves and no restart is being prepared."""
    done = gateway("status", "--json", "--run-dir", run_dir)
    facts = json.loads(done.stdout) if done.returncode == 0 else {}
    return facts.get("phase") == "serving" and not facts["proving"]


def is_free(run_dir: Path, name: str = "gateway") -> bool:
    """Whether the name can be had."""
    lock = GatewayLock(name, run_dir=str(run_dir))
    try:
        lock.acquire(0)
    except GatewayLockError:
        return False
    lock.release()
    return True


def killed(run_dir: Path, mode: str, seed: int) -> str:
    """Kill old, new or both at a random moment of a restart.  What was left: "serves" or "free"."""
    draw = random.Random(seed)
    with page(run_dir, mode, "--probation", "0.2") as said:
        words = gateway_argv("restart", "--run-dir", run_dir)
        quiet = subprocess.DEVNULL
        asked = subprocess.Popen(words, env=environment(), stdout=quiet, stderr=quiet)
        threading.Event().wait(draw.uniform(0, 0.7))
        victims = draw.choice(("old", "new", "both"))
        for pid in pids(run_dir):
            if victims == "both" or (pid == said.pid) == (victims == "old"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        settled = eventually(lambda: serves(run_dir) or (is_free(run_dir) and not pids(run_dir)), 20)
        asked.kill()
        asked.wait()
        assert settled, f"seed {seed}, {mode}, {victims} killed: neither served nor free\n{said.text()}"
        return "serves" if pids(run_dir) else "free"


def flooded(run_dir: Path, mode: str, seed: int, seconds: float = 0.6, count: int = 300) -> str:
    """*count* signals of all kinds in random order.  "stopped" when a stop was among them, else "serves"."""
    draw = random.Random(seed)
    kinds = RESTARTS if seed % 2 else RESTARTS * 15 + STOPS
    with page(run_dir, mode, "--allow-sigusr1", "--probation", "0.1") as said:
        sent = set()
        for _ in range(count):
            sent.add(number := draw.choice(kinds))
            for pid in pids(run_dir)[:3] if draw.random() < 0.05 else [said.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            threading.Event().wait(seconds / count * draw.random())
        if not sent & set(STOPS):
            before = said.text().count("serving: ")
            assert eventually(lambda: is_quiet(run_dir), 20), said.text()
            assert said.text().count("serving: ") <= before + 2, "restarts without end\n" + said.text()
            return "serves"
        for pid in pids(run_dir):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert eventually(lambda: not pids(run_dir), 20), f"seed {seed}: a stop was lost\n{said.text()}"
        assert is_free(run_dir)
        return "stopped"


def resources(pid: int) -> dict[str, int]:
    """Descriptors, threads, and resident memory in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
        "resident": int(status["VmRSS"].split()[0]),
    }


def settled(pid: int) -> dict[str, int]:
    """The same, once the threads of the last life have gone: the smallest of a second's looks."""
    looks = []
    eventually(lambda: looks.append(resources(pid)) or len(looks) >= 50)
    return min(looks, key=lambda look: (look["threads"], look["descriptors"]))


def after_restarts(run_dir: Path, mode: str, counts: tuple[int, ...]) -> Iterator[tuple[int, dict[str, int]]]:
    """The resources of the gateway after so many restarts."""
    with page(run_dir, mode):
        for number in range(1, max(counts) + 1):
            done = gateway("restart", "--run-dir", run_dir)
            assert f"life {number + 1} serves" in done.stdout, done.stderr
            if number in counts:
                pid = int(done.stdout.split("(pid ")[1].split(")")[0])
                assert eventually(lambda: len(pids(run_dir)) == 1), "the last process is still there"
                yield number, settled(pid)
