"""One JSON object a line, with a version."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..core.errors import GatewayError
from ..core.plan import Action, Mode, Request

VERSION = 1
#: the longest line, in bytes
LINE = 65536
VERBS = ("status", "stop", "restart")


class ProtocolError(GatewayError):
    """The other side said something that is not of this protocol."""


@dataclass(frozen=True)
class Asked:
    """One request line: ``request`` is None for status; ``wait`` for the end of it."""

    verb: str
    request: Request | None
    wait: bool


def encode(fields: dict[str, Any]) -> bytes:
    """*fields* as a line."""
    return json.dumps({"v": VERSION, **fields}).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The fields of a line.  ProtocolError."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"not a line of JSON: {line[:60]!r}") from error
    if not isinstance(fields, dict) or fields.get("v") != VERSION:
        raise ProtocolError(f"not an object of version {VERSION}: {line[:60]!r}")
    return fields


def read_request(line: bytes, who: str) -> Asked:
    """What a client asks; *who* it is goes into the cause.  ProtocolError."""
    fields = decode(line)
    verb, reason, mode = fields.get("verb"), fields.get("reason", ""), fields.get("mode")
    if verb not in VERBS:
        raise ProtocolError(f"unknown verb {str(verb)[:60]!r}: there are {', '.join(VERBS)}")
    if not isinstance(reason, str) or mode not in (None, *(known.value for known in Mode)):
        raise ProtocolError("reason must be a text and mode a restart mode")
    request = None
    if verb != "status":
        cause = f"gateway {verb} ({who})"
        force = fields.get("force") is True
        request = Request(Action(verb), cause, reason[:200], Mode(mode) if mode else None, force)
    return Asked(verb, request, fields.get("wait") is True)
