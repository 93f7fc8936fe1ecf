"""Who asked for what, and what came of it: one line in the log for each, whoever else listens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..core import sentences
from ..core.events import Event

log = logging.getLogger("gatewaylock.audit")


def hear(event: Event) -> None:
    """A listener for News."""
    account = event.facts.get("account")
    if event.kind == "asked":
        _log(event, event.facts, sentences.asked(event.facts))
    elif event.kind == "outcome" and account:
        _log(event, account, sentences.ended(account))


def _log(event: Event, facts: Mapping[str, Any], text: str) -> None:
    about = {"event": event.kind, "phase": event.phase, "life": event.life}
    log.info("%s", text, extra={**about, "requester": facts["cause"], "reason": facts["reason"]})
