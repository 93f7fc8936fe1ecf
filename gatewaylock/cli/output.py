"""stdout and stderr as they may be: closed, full, or with nobody at the other end.

Each text goes out with its newline, in one piece: ``print`` writes that by itself where PYTHONUNBUFFERED is
set, and a service whose output goes to the same pipe comes between.
"""

from __future__ import annotations

import os
import select
import sys
from typing import NoReturn, TextIO

from ..core.errors import GatewayError


def say(text: str) -> None:
    """*text* on stdout.  GatewayError when it cannot be written, BrokenPipeError when nobody reads it."""
    try:
        print(f"{encodable(text, sys.stdout)}\n", end="", flush=True)
    except (OSError, ValueError) as error:
        fail(error)


def note(text: str) -> None:
    """A line on stderr, beside what is asked for: one that is closed or full keeps nothing from being done."""
    try:
        if sys.stderr is not None:  # print() would take stdout then
            print(f"{text}\n", end="", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def fail(error: OSError | ValueError) -> NoReturn:
    """*error* came of writing to stdout: BrokenPipeError when nobody reads it, else GatewayError."""
    if isinstance(error, BrokenPipeError):
        raise error
    mute()
    why = error.strerror if isinstance(error, OSError) else str(error)
    raise GatewayError(f"cannot write to stdout: {why}") from error


def ensure_reader() -> None:
    """BrokenPipeError where nobody reads stdout any more.  Who goes on writes next in an hour, or never."""
    poller = select.poll()
    try:
        poller.register(sys.stdout, 0)
    except (OSError, ValueError, AttributeError, TypeError):
        return  # closed, or no file at all
    if any(seen & select.POLLERR for _, seen in poller.poll(0)):
        raise BrokenPipeError


def encodable(text: str, stream: TextIO | None) -> str:
    """What the encoding of *stream* does not have is escaped, and no reason to say nothing."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def finish() -> None:
    """Flush what an application printed.  Its loss is not ours: it must not change the exit code."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        mute()


def mute() -> None:
    """What is still buffered goes nowhere: Python would complain of it at exit, and leave with 120."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        pass  # closed, or no file at all
