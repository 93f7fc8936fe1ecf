"""The application a gateway serves when it is given none: how it is, for people and for probes.

/          a page for people            /status    the same as JSON
/healthz   200 while the process lives  /readyz    200 while new work is accepted, else 503
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from html import escape
from typing import Any, Protocol

from ..core.plan import Status

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
Answer = tuple[str, str, str]  # status, content type, body

TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"

STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--dim:#60646c;--paper:#fcfcfd;--card:#fff;--line:#e0e1e6;
--good:#18794e;--wait:#ad5700;--bad:#ce2c31}
@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--dim:#b0b4ba;--paper:#111113;--card:#18191b;
--line:#2e3135;--good:#3dd68c;--wait:#ffca16;--bad:#ff9592}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:44rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.5rem;line-height:1.2;margin:.5rem 0 0;overflow-wrap:anywhere}
h2{font-size:1rem;margin:0 0 .5rem}
.state{margin:.25rem 0 1.5rem;font-weight:600}
.good{color:var(--good)}.wait{color:var(--wait)}.bad{color:var(--bad)}
.why{color:var(--dim);font-weight:400}
section{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem;margin:0 0 1rem}
dl{display:grid;grid-template-columns:minmax(7rem,auto) 1fr;gap:.4rem 1rem;margin:0}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
table{width:100%;border-collapse:collapse}
th,td{text-align:left;padding:.35rem 0;border-top:1px solid var(--line);overflow-wrap:anywhere}
th{border:0;color:var(--dim);font-weight:400}
td+td,th+th{text-align:right;font-variant-numeric:tabular-nums;padding-left:1rem}
p{margin:0;color:var(--dim)}
footer{color:var(--dim);font-size:.875rem}a{color:inherit}
"""
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = [
    ("Content-Security-Policy", f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
]
MOOD = {"serving": "good", "parked": "bad", "exited": "bad"}


class HasStatus(Protocol):
    """What the page needs of its gateway."""

    def status(self) -> Status:
        """How the gateway is now."""
        ...


def status_app(gateway: HasStatus) -> Application:
    """The WSGI application with the four addresses above, for *gateway*."""

    def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ.get("REQUEST_METHOD", "GET"), environ.get("PATH_INFO") or "/"
        status, kind, body = _answer(gateway, method, path)
        data = body.encode()
        headers = [("Content-Type", kind), ("Content-Length", str(len(data))), *HEADERS]
        if status.startswith("405"):
            headers.append(("Allow", "GET, HEAD"))
        start_response(status, headers)
        return [] if method == "HEAD" else [data]

    return app


def _answer(gateway: HasStatus, method: str, path: str) -> Answer:
    route = ROUTES.get(path)
    if route is None:
        return "404 Not Found", TEXT, "not found: try / or /healthz, /readyz, /status\n"
    if method not in ("GET", "HEAD"):
        return "405 Method Not Allowed", TEXT, "only GET and HEAD\n"
    return route(gateway)


def _health(_: HasStatus) -> Answer:
    return "200 OK", TEXT, "ok\n"  # that we answer is the answer


def _ready(gateway: HasStatus) -> Answer:
    status = gateway.status()
    return ("200 OK" if status.ready else "503 Service Unavailable"), TEXT, f"{status.phase.value}\n"


def _json(gateway: HasStatus) -> Answer:
    return "200 OK", JSON, json.dumps(gateway.status().as_dict(), indent=2) + "\n"


def _page(gateway: HasStatus) -> Answer:
    return "200 OK", HTML, page(gateway.status())


ROUTES: dict[str, Callable[[HasStatus], Answer]] = {
    "/": _page,
    "/healthz": _health,
    "/readyz": _ready,
    "/status": _json,
}


def page(status: Status) -> str:
    """The page for people; everything in it that is not ours is escaped."""
    name, phase = escape(status.name), escape(status.phase.value)
    why = f' <span class="why">{escape(status.reason)}</span>' if status.reason else ""
    facts = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in _facts(status))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}: {phase}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="refresh" content="5"><style>{STYLE}</style></head>\n<body><main>\n'
        f'<h1>{name}</h1>\n<p class="state {MOOD.get(status.phase.value, "wait")}">{phase}{why}</p>\n'
        f"<section><dl>{facts}</dl></section>\n<section><h2>Lanes</h2>{_lanes(status)}</section>\n"
        f"<section><h2>Runs</h2>{_runs(status)}</section>\n"
        '<footer>gatewaylock · <a href="/status">status as JSON</a> · refreshed every 5 s</footer>\n'
        "</main></body></html>\n"
    )


def _facts(status: Status) -> list[tuple[str, str]]:
    facts = [
        ("Process", str(status.pid)),
        ("Life", str(status.life)),
        ("Up for", span(status.uptime)),
        ("This life", span(status.life_uptime)),
        ("Listens on", ", ".join(status.addresses) or "nothing"),
        ("Tasks", f"{status.tasks_active} running, {status.tasks_queued} waiting"),
        ("Restart mode", status.restart_mode),
    ]
    if status.time_left is not None:
        facts.append(("Time left", span(status.time_left)))
    if status.proving:
        facts.append(("Next version", "is being checked"))
    return facts


def _lanes(status: Status) -> str:
    if not status.lanes:
        return "<p>no work</p>"
    rows = "".join(f"<tr><td>{escape(lane)}</td><td>{n}</td></tr>" for lane, n in status.lanes.items())
    return f"<table><thead><tr><th>lane</th><th>tasks</th></tr></thead><tbody>{rows}</tbody></table>"


def _runs(status: Status) -> str:
    if not status.runs:
        return "<p>no runs</p>"
    rows = "".join(f"<tr><td>{escape(run)}</td></tr>" for run in status.runs)
    return f"<table><tbody>{rows}</tbody></table>"


def span(seconds: float | None) -> str:
    """*seconds* for people: the two largest units, such as ``3 d 4 h``."""
    if seconds is None:
        return "not serving"
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
