"""Who asked for what, and what came of it: one line in the log for each, whoever else listens."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..core.events import Event

log = logging.getLogger("gatewaylock.audit")


def hear(event: Event) -> None:
    """A listener for News."""
    account = event.facts.get("account")
    if event.kind == "asked":
        _log(event, event.facts, asked(event.facts))
    elif event.kind == "outcome" and account:
        _log(event, account, ended(account))


def asked(facts: Mapping[str, Any]) -> str:
    """``restart accepted, asked by gateway restart (pid 7, uid 0) "..." because of 'x': restarting``"""
    verdict = "accepted" if facts["ok"] else "refused"
    return f"{facts['action']} {verdict}, asked by {_who(facts)}: {_line(facts['text'])}"


def ended(account: Mapping[str, Any]) -> str:
    """``restart done in 3.21 s, asked by ...; waited for 2 task(s) and 1 run(s): life 2 serves``"""
    how = "done" if account["ok"] else "not done"
    waited = ""
    if account["tasks"] is not None:
        waited = f"; waited for {account['tasks']} task(s) and {account['runs']} run(s)"
    if account["left"]:
        waited += f", {len(account['left'])} of them not over"
    took, text = account["took"], _line(account["text"])
    return f"{account['action']} {how} in {took:.2f} s, asked by {_who(account)}{waited}: {text}"


def _who(facts: Mapping[str, Any]) -> str:
    peer, reason = facts["peer"], facts["reason"]
    command = f' "{peer["command"]}"' if peer and peer["command"] else ""
    return f"{facts['cause']}{command}" + (f" because of {reason!r}" if reason else "")


def _line(text: str) -> str:
    """The first line of it: what follows is a traceback, which has its own place in the log."""
    return text.partition("\n")[0]


def _log(event: Event, facts: Mapping[str, Any], text: str) -> None:
    about = {"event": event.kind, "phase": event.phase, "life": event.life}
    log.info("%s", text, extra={**about, "requester": facts["cause"], "reason": facts["reason"]})
