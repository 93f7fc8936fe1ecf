"""Log lines go to whatever stderr is, whole or not at all."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gatewaylock.cli import lines
from gatewaylock.cli.lines import Lines


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("gatewaylock.gateway", logging.INFO, __file__, 1, text, None, None)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """One that holds two pages."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 8192)
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PATIENCE", 0.05)


def test_what_others_write_to_the_same_file_stays(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)  # as a shell opens it for > log 2>&1
    handler = Lines(fd)
    os.write(fd, b"theirs 1\n")
    handler.emit(record("ours 1"))
    os.write(fd, b"theirs 2\n")
    handler.emit(record("ours 2"))
    os.close(fd)
    assert (tmp_path / "log").read_text() == "theirs 1\nours 1\ntheirs 2\nours 2\n"


def test_the_pipe_of_others_still_blocks_them() -> None:
    with pipe() as (_, write), closing(Lines(write)):
        assert os.get_blocking(write)


@pytest.mark.usefixtures("no_patience")
def test_a_line_that_was_torn_is_ended_before_the_next_and_counted() -> None:
    with pipe() as (read, write), closing(Lines(write)) as handler:
        for text in ("a" * 12000, "b", "c"):
            handler.emit(record(text))
        assert set(os.read(read, 65536)) == {ord("a")}
        handler.emit(record("d"))
        said = os.read(read, 65536).decode().splitlines()
        assert said == ["", "3 line(s) lost: nobody read this log", "d"]


@pytest.mark.usefixtures("no_patience")
def test_what_cannot_be_encoded_is_escaped() -> None:
    with pipe() as (read, write), closing(Lines(write)) as handler:
        handler.emit(record("\ud800 é"))
        assert os.read(read, 100) == "\\ud800 é\n".encode()
