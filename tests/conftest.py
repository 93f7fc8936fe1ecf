"""Fixtures only; and the order of the tests is drawn anew each time."""

from __future__ import annotations

import compileall
import gc
import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order", default=None, help="seed of the tests' order (printed in each run)")


def pytest_configure(config: pytest.Config) -> None:
    for number, usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
        if signal.getsignal(number) is signal.SIG_IGN:  # by nohup or a shell: our programs would inherit it
            signal.signal(number, usual)
    # Once, where the environment forbids bytecode: thousands of processes would compile it, a third of their start.
    compileall.compile_dir(Path(__file__).parents[1] / "gatewaylock", quiet=2)
    order = config.getoption("--order")
    config.order = int(order) if order else random.SystemRandom().randrange(10**6)  # type: ignore[attr-defined]


def pytest_report_header(config: pytest.Config) -> str:
    return f"order of the tests: --order {config.order}"  # type: ignore[attr-defined]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    random.Random(config.order).shuffle(items)  # type: ignore[attr-defined]


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A private run directory with a short path: Unix sockets live in it."""
    with tempfile.TemporaryDirectory(prefix="gw-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """What a test started must have ended, or be about to, when it is over."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), f"the test left a thread: {thread}"


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many open descriptors afterwards as before."""

    def count() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0

    before = count()
    yield
    assert count() == before
