"""Log lines: one record, one line, whatever is in it."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import pytest

from gatewaylock.cli.logs import JSONFormatter, TextFormatter

EVIL = "a\nb\r\x0b\x0c\x1b[31m\x7f\x85\x9b0m\u2028\u2029\u202e\ud800\tZ\x00é漢"


def record(message: str, *args: object, name: str = "gatewaylock.gateway", **more: Any) -> logging.LogRecord:
    return logging.LogRecord(
        name, logging.INFO, __file__, 1, message, args, more.pop("exc_info", None), **more
    )


def raised(text: str) -> Any:
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


def test_a_text_line_has_time_level_room_and_message() -> None:
    line = TextFormatter().format(record("serving: %s", "x"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} INFO gateway: serving: x", line)
    assert " INFO flask.app: " in TextFormatter().format(record("x", name="flask.app"))


@pytest.mark.parametrize("where", ["message", "argument", "logger"])
def test_nothing_in_a_record_breaks_a_line_or_steers_a_terminal(where: str) -> None:
    parts = {"message": (EVIL,), "argument": ("%s", EVIL), "logger": ("x",)}[where]
    line = TextFormatter().format(record(*parts, name=EVIL if where == "logger" else "x"))
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert r"a\nb\r" in line and r"\x1b[31m" in line and r"\u2028" in line and "é漢" in line
    line.encode()


def test_a_traceback_is_indented_and_plain_line_by_line() -> None:
    text = TextFormatter().format(
        record("failed", exc_info=raised("x\n2026-01-01T00:00:00.000 INFO forged: \x1b[31m"))
    )
    first, *rest = text.split("\n")
    assert first.endswith("failed")
    assert len(rest) >= 4
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert any("forged" in line for line in rest)


def test_a_json_line_is_one_object_in_ascii() -> None:
    line = JSONFormatter().format(record("%s", EVIL, exc_info=raised(EVIL)))
    assert "\n" not in line and line.isascii() and line.isprintable()
    fields = json.loads(line)
    assert (fields["level"], fields["logger"], fields["message"]) == ("info", "gatewaylock.gateway", EVIL)
    assert "ValueError" in fields["exception"]
    assert re.fullmatch(r"[-\d]{10}T[:\d]{8}\.\d{3}\+00:00", fields["time"])
