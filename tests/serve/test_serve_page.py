"""The built-in page and its health checks."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from gatewaylock.core.plan import Phase, Status
from gatewaylock.serve.page import span, status_app

SERVING = Status(
    name="<b>bot</b>",
    pid=4711,
    phase=Phase.SERVING,
    life=3,
    uptime=93784.0,
    life_uptime=61.5,
    addresses=("127.0.0.1:18789",),
    tasks_active=2,
    tasks_queued=5,
    lanes={"main": 1, "<script>alert(1)</script>": 6},
    runs=('"><img src=x>',),
    restart_mode="auto (exec)",
    reason="",
    time_left=None,
    proving=False,
)


class Paper:
    """A gateway with a status."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def status(self) -> Status:
        return self._status


def ask(status: Status, path: str, method: str = "GET") -> tuple[str, dict[str, str], str]:
    environ: dict[str, Any] = {
        "PATH_INFO": path,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
    }
    setup_testing_defaults(environ)
    said: list[Any] = []

    def start_response(*head: Any) -> Any:
        said.extend(head)
        return lambda data: None

    answer = validator(status_app(Paper(status)))(environ, start_response)
    body = b"".join(answer).decode()
    answer.close()  # type: ignore[attr-defined]
    return said[0], dict(said[1]), body


def test_the_page_shows_the_state_and_escapes_all_of_it() -> None:
    status, _, body = ask(SERVING, "/")
    assert status == "200 OK"
    for shown in ("serving", "4711", "1 d 2 h", "1 min 1 s", "127.0.0.1:18789", "2 running, 5 waiting"):
        assert shown in body
    assert "<script" not in body
    assert "<img" not in body
    assert "<b>" not in body
    assert "&lt;script&gt;" in body


def test_the_page_is_well_formed() -> None:
    opened: list[str] = []

    class Check(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag != "meta":
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Check().feed(ask(SERVING, "/")[2])
    assert opened == []


def test_the_policy_allows_our_own_style_and_nothing_else() -> None:
    _, headers, body = ask(SERVING, "/")
    style = re.search("<style>(.*)</style>", body, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert f"style-src 'sha256-{digest}'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("phase", list(Phase))
def test_ready_is_said_only_while_new_work_is_accepted(phase: Phase) -> None:
    status = replace(SERVING, phase=phase, reason="new version")
    code, _, body = ask(status, "/readyz")
    assert body == f"{phase.value}\n"
    assert code == ("200 OK" if phase is Phase.SERVING else "503 Service Unavailable")
    assert ask(status, "/healthz")[0] == "200 OK"
    page = ask(replace(status, life_uptime=None, time_left=12.0, proving=True), "/")[2]
    assert phase.value in page
    assert "new version" in page
    assert "12 s" in page


def test_the_status_is_json() -> None:
    _, headers, body = ask(SERVING, "/status")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == json.loads(json.dumps(SERVING.as_dict()))


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/status"])
def test_head_is_get_without_the_body_and_other_methods_are_405(path: str) -> None:
    got, head = ask(SERVING, path), ask(SERVING, path, "HEAD")
    assert head[:2] == got[:2]
    assert head[2] == ""
    status, headers, _ = ask(SERVING, path, "POST")
    assert (status, headers["Allow"]) == ("405 Method Not Allowed", "GET, HEAD")


def test_other_addresses_are_not_found() -> None:
    assert ask(SERVING, "/etc/passwd")[0] == "404 Not Found"
    assert ask(SERVING, "//")[0] == "404 Not Found"


def test_an_empty_gateway_has_a_page_too() -> None:
    quiet = replace(SERVING, lanes={}, runs=(), addresses=())
    assert "no work" in ask(quiet, "/")[2]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "not serving"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3661, "1 h 1 min"),
        (90061, "1 d 1 h"),
    ],
)
def test_spans_are_for_people(seconds: float | None, text: str) -> None:
    assert span(seconds) == text
