"""The log may hang, fail or be slow: whoever logs goes on."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from speaking import eventually

import gatewaylock
from gatewaylock.loop.scribe import MOST, SUBSYSTEMS, Scribe

log = logging.getLogger("gatewaylock.gateway")


class Reader(logging.Handler):
    """Keeps what it gets; ``shut`` holds whoever writes until it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def emit(self, record: logging.LogRecord) -> None:
        assert self.open.wait(30)
        self.lines.append(record.getMessage())


@contextmanager
def read() -> Iterator[Reader]:
    reader = Reader()
    logging.getLogger("gatewaylock").addHandler(reader)
    try:
        yield reader
    finally:
        reader.open.set()
        logging.getLogger("gatewaylock").removeHandler(reader)


def test_a_line_has_been_written_when_the_call_is_back() -> None:
    with read() as reader, Scribe().speaks():
        for number in range(100):
            log.warning("line %d", number)
            assert reader.lines[-1] == f"line {number}"


def test_a_log_that_nobody_reads_holds_one_line_for_a_moment_and_the_next_ones_not_at_all() -> None:
    with read() as reader, Scribe().speaks():
        reader.open.clear()
        for number in range(100):
            log.warning("line %d", number)
        assert reader.lines == []
        reader.open.set()
        log.warning("the last one")
        assert eventually(lambda: len(reader.lines) >= 101)
        assert reader.lines[:101] == [*(f"line {number}" for number in range(100)), "the last one"]


def test_what_does_not_fit_is_counted_and_told() -> None:
    with read() as reader, Scribe().speaks():
        reader.open.clear()
        for number in range(MOST + 8):
            log.warning("line %d", number)
        reader.open.set()
        while not any("nobody read the log" in line for line in reader.lines):
            log.warning("wait")
        [missing] = [line for line in reader.lines if "nobody read the log" in line]
        assert int(missing.split()[0]) >= 7


def test_a_handler_that_raises_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    class Bad(Reader):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit("not a good handler")

    bad = Bad()
    log.addHandler(bad)
    try:
        with read() as reader, Scribe().speaks():
            log.warning("one")
            log.warning("two")
            log.removeHandler(bad)
            log.warning("three")
            assert reader.lines == ["three"]
        assert "not a good handler" in capsys.readouterr().err
    finally:
        log.removeHandler(bad)


class Raises(logging.Handler):
    """No good handler."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError("the disk is full")


def test_a_handler_that_raises_beside_a_closed_stderr_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    bad = Raises()
    with monkeypatch.context() as patched, read() as reader, Scribe().speaks():
        patched.setattr(sys, "stderr", closed)
        log.addHandler(bad)
        log.warning("one")
        log.removeHandler(bad)
        log.warning("two")
        assert reader.lines == ["two"]


def test_a_handler_that_raises_when_it_is_told_of_what_is_missing_harms_nobody() -> None:
    bad = Raises()
    with read() as reader, Scribe().speaks():
        reader.open.clear()
        for number in range(MOST + 8):
            log.warning("line %d", number)
        bad.addFilter(lambda record: "nobody read the log" in record.getMessage())
        log.addHandler(bad)
        reader.open.set()
        assert eventually(lambda: len(reader.lines) >= MOST)
        log.removeHandler(bad)
        log.warning("the last one")
        assert eventually(lambda: reader.lines[-1] == "the last one", 5)


def test_an_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with Scribe().speaks():
        try:
            raise ValueError("here")
        except ValueError:
            log.exception("failed")
    [record] = caplog.records
    assert record.exc_info and record.funcName == "test_an_error_is_logged_with_its_traceback"
    assert "ValueError: here" in caplog.text


def test_two_gateways_of_a_process_both_log_and_the_end_of_one_is_not_that_of_the_other() -> None:
    with read() as reader:
        with Scribe().speaks():
            with Scribe().speaks():
                log.warning("both")
            log.warning("one")
        log.warning("none")
    assert reader.lines == ["both", "one", "none"]
    assert not any(logging.getLogger(f"gatewaylock.{name}").filters for name in SUBSYSTEMS)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_logs_by_itself() -> None:
    with read() as reader, Scribe().speaks():
        came, go = os.pipe()
        child = os.fork()
        if not child:
            log.warning("in the child")
            os.write(go, str(len(reader.lines)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(came, 10) == b"1"
        os.close(came), os.close(go)


def test_every_logger_of_ours_is_among_them() -> None:
    package = Path(gatewaylock.__file__).parent
    named = {
        name
        for room in package.rglob("*.py")
        for name in re.findall(r'getLogger\(\s*f?"gatewaylock\.(\w+)"', room.read_text(encoding="utf-8"))
    }
    assert named == set(SUBSYSTEMS)
