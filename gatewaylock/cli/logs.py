"""How log lines look: text for people, or one JSON object a line.  Only the command sets logging up."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from datetime import datetime

from .lines import Lines

#: what could start a line, steer a terminal, turn text around, or not be encoded
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escape(text: str) -> str:
    """*text* on one line, with nothing in it that a terminal obeys."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text)


class TextFormatter(logging.Formatter):
    """``2026-11-24T10:00:00.123 INFO gateway: message``; tracebacks indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        when = datetime.fromtimestamp(record.created).isoformat(timespec="milliseconds")
        line = f"{when} {record.levelname} {_subsystem(record)}: {escape(record.getMessage())}"
        return "\n".join([line, *(f"    {escape(more)}" for more in self._below(record))])

    def _below(self, record: logging.LogRecord) -> list[str]:
        text = self.formatException(record.exc_info) if record.exc_info else ""
        return f"{text}\n{record.stack_info or ''}".strip().splitlines()


class JSONFormatter(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {
            "time": f"{when}.{int(record.msecs):03d}+00:00",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def setup(form: str, level: str) -> None:
    """Log to stderr as *form* ("text", "json"), from *level* on.  One that is gone or not read is no error."""
    handler = Lines(2)
    handler.setFormatter(JSONFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.raiseExceptions = False
    threading.excepthook = _thread_died


def _thread_died(args: threading.ExceptHookArgs) -> None:
    """What ends a thread goes to the log: a bare traceback on stderr carries whatever a client sent."""
    if args.exc_type is not SystemExit and args.exc_value is not None:
        name = args.thread.name if args.thread else "unknown"
        logging.getLogger("gatewaylock.thread").error("%s ended by an error", name, exc_info=args.exc_value)


def _subsystem(record: logging.LogRecord) -> str:
    return escape(record.name.removeprefix("gatewaylock."))
