"""A restart asked for too late for the one under way, on its way to the process that takes over.

Whole, as it was asked: who, why and how.  A version before this one sends the reason alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ..core.facts import Peer
from ..core.plan import Action, Mode, Request


def told(request: Request) -> str:
    """What goes over the channel with ``again``."""
    facts = {
        "cause": request.cause,
        "reason": request.reason,
        "mode": request.mode and request.mode.value,
        "force": request.force,
        "peer": request.peer and asdict(request.peer),
    }
    return json.dumps(facts)


def heard(text: str) -> Request:
    """What was told."""
    try:
        facts: Any = json.loads(text)
        peer = Peer(**facts["peer"]) if facts["peer"] else None
        mode = Mode(facts["mode"]) if facts["mode"] else None
        return Request(Action.RESTART, facts["cause"], facts["reason"], mode, facts["force"], peer)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Request(Action.RESTART, "late restart request", text)
