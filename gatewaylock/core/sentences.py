"""What happened, in a sentence: for the log and for ``gateway history``.  One line each, nothing raw in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]

#: characters of an error that are told: a line of them fits into a socket's buffer, whatever they are
ENOUGH = 10_000


def asked(facts: Facts) -> str:
    """Of an event of kind asked: ``restart accepted, asked by gateway restart (pid 7, uid 0) "...": restarting``."""
    verdict = "accepted" if facts.get("ok") else "refused"
    return f"{facts.get('action')} {verdict}, asked by {who(facts)}: {line(facts.get('text'))}"


def ended(account: Facts, *, brief: bool = False) -> str:
    """Of an account: ``restart done in 3.21 s, asked by ...; waited for 2 task(s) and 1 run(s): life 2 serves``."""
    how = "done" if account.get("ok") else "not done"
    took = f" in {account['took']:.2f} s" if isinstance(account.get("took"), float) else ""
    asker, waited, text = who(account, brief=brief), _waited(account), line(account.get("text"))
    return f"{account.get('action')} {how}{took}, asked by {asker}{waited}: {text}"


def who(facts: Facts, *, brief: bool = False) -> str:
    """Who asked, from where and why: ``gateway stop (pid 7, uid 0) "gateway stop" because of 'a test'``.

    *brief*: without the command line.
    """
    peer, reason = facts.get("peer"), facts.get("reason")
    known = isinstance(peer, Mapping) and peer.get("command") and not brief
    command = f' "{peer["command"]}"' if known else ""  # type: ignore[index]
    return f"{facts.get('cause')}{command}" + (f" because of {reason!r}" if reason else "")


def line(text: object) -> str:
    """The first line of *text*: what follows is a traceback, which has its own place in the log."""
    first = str(text).partition("\n")[0].strip()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in first)


def short(text: str, most: int = ENOUGH) -> str:
    """*text*, or its beginning and its end, which is where a traceback says what is wrong."""
    half = most // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def _waited(account: Facts) -> str:
    tasks, runs, left = account.get("tasks"), account.get("runs"), account.get("left")
    if tasks is None:
        return ""
    late = len(left) if isinstance(left, (list, tuple)) else 0
    return f"; waited for {tasks} task(s) and {runs} run(s)" + (f", {late} not over" if late else "")
