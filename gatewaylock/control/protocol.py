"""One JSON object a line, with a version."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..core.errors import GatewayError
from ..core.facts import Peer
from ..core.plan import LONGEST_REASON, QUIET_LIMIT, Action, Mode, Request

VERSION = 1
#: the longest line that is asked, in bytes
LINE = 65536
#: what asks for nothing to be done
LOOKS = ("status", "watch", "ping")
VERBS = (*LOOKS, *(action.value for action in Action))
LONGEST_QUIET = 86400.0
LONGEST_ITEM = 40

#: why something was refused, for programs
ERRORS = {
    "protocol": "the line is not of this protocol",
    "forbidden": "only the owner of the gateway and root may ask",
    "late": "nothing was asked in time",
    "busy": "too many at once, or no thread: try again",
    "phase": "not in the phase in which the gateway is",
    "permit": "a restart signal without a permit (in events only)",
    "unknown": "there is no such item, or it has ended",
    "running": "a task that runs cannot be cancelled",
    "failed": "it was tried and failed; the log says why",
}


class ProtocolError(GatewayError):
    """The other side said something that is not of this protocol; ``error`` is one of ERRORS."""

    def __init__(self, text: str, error: str = "protocol") -> None:
        super().__init__(text, error)
        self.text, self.error = text, error

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Asked:
    """One request line: ``request`` is None for one of LOOKS; ``wait`` for the end of it."""

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


def read_request(line: bytes, who: str, peer: Callable[[], Peer | None] = lambda: None) -> Asked:
    """What a client asks; *who* it is goes into the cause, *peer* tells more of it.  ProtocolError."""
    fields = decode(line)
    verb = fields.get("verb")
    if verb not in VERBS:
        raise ProtocolError(f"unknown verb {str(verb)[:60]!r}: there are {', '.join(VERBS)}")
    request = None if verb in LOOKS else _request(Action(verb), fields, who, peer())
    return Asked(verb, request, fields.get("wait") is True)


def _request(action: Action, fields: dict[str, Any], who: str, peer: Peer | None) -> Request:
    reason, mode = fields.get("reason", ""), fields.get("mode")
    if not isinstance(reason, str) or mode not in (None, *(known.value for known in Mode)):
        raise ProtocolError("reason must be a text and mode a restart mode")
    return Request(
        action,
        cause=f"gateway {action.value} ({who})",
        reason=reason[:LONGEST_REASON],
        mode=Mode(mode) if mode else None,
        force=fields.get("force") is True,
        peer=peer,
        limit=_limit(fields.get("limit", QUIET_LIMIT)),
        item=_item(fields.get("item", ""), needed=action is Action.CANCEL),
    )


def _limit(seconds: object) -> float:
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= LONGEST_QUIET:  # type: ignore[operator]
        raise ProtocolError(f"limit must be more than 0 and at most {LONGEST_QUIET:g} seconds")
    return float(seconds)  # type: ignore[arg-type]


def _item(id: object, *, needed: bool) -> str:
    if not isinstance(id, str) or len(id) > LONGEST_ITEM or (needed and not id):
        raise ProtocolError("item must be the id of a task or run, as status shows it")
    return id
