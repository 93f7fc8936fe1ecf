"""stdout and stderr as they may be: closed, full, or with nobody at the other end.

Each text goes out with its newline, in one piece: ``print`` writes that by itself where PYTHONUNBUFFERED is
set, and a service whose output goes to the same pipe comes between.
"""

from __future__ import annotations

import os
import sys

from ..core.errors import GatewayError


def say(text: str) -> None:
    """*text* on stdout.  GatewayError when it cannot be written, BrokenPipeError when nobody reads it."""
    try:
        print(f"{_encodable(text)}\n", end="", flush=True)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        mute()
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise GatewayError(f"cannot write to stdout: {why}") from error


def note(text: str) -> None:
    """*text* on stderr.  One that is closed is no error."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass


def _encodable(text: str) -> str:
    """What the encoding of stdout does not have is escaped, and no reason to say nothing."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
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
