"""What may be asked for through the page, and how a form asks for it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs

from ..core.plan import Action, Request, Verdict
from .guard import Guard
from .wire import Answer, Asked, Refused, say

FORM = "application/x-www-form-urlencoded"
DOES = {
    "restart": (Action.RESTART, False),
    "stop": (Action.STOP, False),
    "stop now": (Action.STOP, True),
    "quiet": (Action.QUIET, False),
    "resume": (Action.RESUME, False),
}
REASON = 200  #: characters of a reason, at most


def request_of(asked: Asked, guard: Guard) -> Request:
    """The request that a form makes: ``do`` (one of DOES) or ``cancel`` (an item), ``reason``, ``token``.

    The token may come as ``Authorization: Bearer`` instead.  Refused.
    """
    if asked.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {FORM}")
    fields = _fields(asked.body)
    scheme, _, bearer = asked.headers.get("authorization", "").partition(" ")
    token = bearer.strip() if scheme.lower() == "bearer" else fields.get("token", "")
    guard.check_steering(token)
    reason, cause = fields.get("reason", "")[:REASON], f"admin page ({asked.peer})"
    if item := fields.get("cancel"):
        return Request(Action.CANCEL, cause, reason, item=item[:64])
    if (do := fields.get("do", "")) not in DOES:
        raise Refused(HTTPStatus.BAD_REQUEST, f"do: {', '.join(DOES)}; or cancel: an item")
    action, force = DOES[do]
    return Request(action, cause, reason, force=force)


def verdict_of(asked: Asked, verdict: Verdict, reply: Callable[[Answer], None]) -> None:
    """What came of it: a browser without JavaScript goes back to the page, all others get the words."""
    if not verdict.ok:
        reply(say(HTTPStatus.CONFLICT, verdict.text))
    elif "text/html" in asked.headers.get("accept", ""):
        reply(say(HTTPStatus.SEE_OTHER, verdict.text, ("Location", "./")))
    else:
        reply(say(HTTPStatus.OK, verdict.text))


def _fields(body: bytes) -> dict[str, str]:
    try:
        found = parse_qs(body.decode("ascii"), max_num_fields=16, errors="replace")
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "that is no form") from None
    return {name: values[0] for name, values in found.items()}
