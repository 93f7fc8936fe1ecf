"""The page, as the built-in application and on the admin address, and its health checks."""

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
from paper_site import SERVING

from gatewaylock.admin.page import Page, live
from gatewaylock.admin.past import entries_of, lives_of
from gatewaylock.admin.view import Entry, Lane, Life, View, lanes_of
from gatewaylock.admin.words import safe, span
from gatewaylock.core.facts import Account, DrainProgress, Item
from gatewaylock.core.plan import Phase, Status
from gatewaylock.serve import status_app


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
    for shown in ("Serving", "4711", "1 d 2 h", "1 min 1 s", "127.0.0.1:18789", "2 running, 5 waiting"):
        assert shown in body.replace("&nbsp;", " ")
    assert "<script>alert" not in body
    assert "<img" not in body
    assert "<b>bot" not in body
    assert "&lt;script&gt;" in body


VOID = ("meta", "link", "input")


def test_the_page_is_well_formed() -> None:
    opened: list[str] = []

    class Check(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            if tag not in VOID:
                opened.append(tag)

        def handle_startendtag(self, tag: str, attrs: Any) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    for view in (View(SERVING, 0.0), DRAINING):
        Check().feed(Page(stream="events?page", links=("status",)).whole(view).decode())
        assert opened == []


def test_the_policy_allows_our_own_style_and_script_and_nothing_else() -> None:
    _, headers, body = ask(SERVING, "/")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    for kind in ("style", "script"):
        found = re.search(f"<{kind}>(.*)</{kind}>", body, re.DOTALL)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=|\sstyle=|javascript:|https?://(?!www.w3.org)", body)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("phase", list(Phase))
def test_ready_is_said_only_while_new_work_is_accepted(phase: Phase) -> None:
    status = replace(SERVING, phase=phase, reason="new version")
    code, _, body = ask(status, "/readyz")
    assert body == f"{phase.value}\n"
    assert code == ("200 OK" if phase is Phase.SERVING else "503 Service Unavailable")
    assert ask(status, "/healthz")[0] == "200 OK"
    page = ask(replace(status, life_uptime=None, time_left=12.0), "/")[2]
    assert "12&nbsp;s" in page
    assert phase is Phase.SERVING or "new version" in page


def test_the_status_is_json() -> None:
    _, headers, body = ask(SERVING, "/status")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == json.loads(json.dumps(SERVING.as_dict()))


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/status", "/live"])
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
    assert "nothing under way" in ask(replace(quiet, tasks_active=0, tasks_queued=0), "/")[2]


ITEMS = (
    Item("3.1", "run", 'run "job"', "", "running", 75.0),
    Item("3.2", "task", "task one", "mail-1", "running", 70.0),
    Item("3.3", "task", "task two", "chat-7", "running", 60.0),
    Item("3.4", "task", 'task "</li>"', "chat-7", "queued", 50.0),
)
ASKED = Account("restart", "gateway restart (pid 1, uid 0)", "new <release>", at=1000.0, mode="exec")
DRAINING = View(
    replace(
        SERVING,
        phase=Phase.DRAINING,
        items=ITEMS,
        drain=DrainProgress(11, 1, ITEMS[0], 78.0),
        under_way=ASKED,
        time_left=83.0,
    ),
    now=1012.0,
    lanes=(Lane("mail-1", 1, 0, 70.0), Lane("chat-7", 1, 9, 60.0)),
    more_lanes=3,
    total=30,
    lives=(Life(1, 1, 0.0, 500.0, 501.0), Life(2, 1, 501.0, 1000.0)),
    entries=(Entry(501.0, "Restart exec", "good", "SIGUSR1", "", "life 2 serves", 1.25),),
    steers=True,
)


def test_a_drain_says_who_asked_why_what_is_left_and_for_how_long() -> None:
    text = live(DRAINING)["sections"]
    hero, work = text["hero"].replace("&nbsp;", " "), text["work"].replace("&nbsp;", " ")
    for shown in (
        "Draining before a restart",
        "12 s ago by gateway restart (pid 1, uid 0)",
        "new &lt;release&gt;",
    ):
        assert shown in hero
    assert re.search(r"left to end</dt><dd>12 of 30</dd>", hero)
    assert "1 min 18 s" in hero
    assert 'width="60.00%"' in hero  # of the bar: 18 of 30 have ended
    assert work.index("mail-1") < work.index("chat-7")
    for shown in (
        "1 running, 9 waiting",
        "oldest 1 min 10 s",
        "and 3 more lanes",
        "run &quot;job&quot;",
        "1 min 15 s",
    ):
        assert shown in work


def test_whoever_may_steer_finds_a_button_for_each_item_that_can_be_cancelled() -> None:
    page = Page(stream="", links=())
    assert re.findall(r'name="cancel" value="([^"]+)"', page.whole(DRAINING).decode()) == ["3.1", "3.4"]
    other = page.whole(replace(DRAINING, steers=False)).decode()
    assert "<button" not in other and "<form" not in other


def test_lives_are_a_line_in_time_and_their_restarts_have_words() -> None:
    history = live(DRAINING)["sections"]["history"]
    assert history.count('class="life') == 2
    assert history.count('class="leaving"') == 2
    for shown in ("Restart exec", "1.25&nbsp;s", "SIGUSR1", "life 2 serves", "1970-01-01 00:08:21 UTC"):
        assert shown in history


def test_the_lane_with_the_oldest_item_comes_first_then_the_longest() -> None:
    status = replace(SERVING, items=ITEMS)
    lanes = lanes_of(status, [("few", 1, 1), ("many", 0, 7), ("chat-7", 1, 9), ("mail-1", 1, 0)])
    assert [lane.name for lane in lanes] == ["mail-1", "chat-7", "many", "few"]


START = {"event": "start", "pid": 7, "life": 1, "at": 100.0}
ASK = {"event": "asked", "action": "restart", "ok": True, "cause": "SIGUSR1", "pid": 7, "at": 150.0}


def outcome(at: float, ok: bool, **more: Any) -> dict[str, Any]:
    account = {
        "action": "restart",
        "mode": "exec",
        "cause": "SIGUSR1",
        "reason": "why",
        "ok": ok,
        "took": 2.0,
    }
    done = "restart" if ok else None
    return {"event": "outcome", "done": done, "account": {**account, **more}, "pid": 7, "at": at}


def test_a_life_ends_with_the_next_start_or_with_its_process() -> None:
    second = {**START, "life": 2, "at": 152.0}
    end = {"event": "end", "pid": 7, "code": 0, "text": "stopped", "at": 300.0}
    assert lives_of([START, ASK, second, outcome(152.1, True), end]) == (
        Life(1, 7, 100.0, 150.0, 152.0),
        Life(2, 7, 152.0, 300.0, 300.0),
    )
    assert lives_of([START, ASK, outcome(151.0, False)]) == (Life(1, 7, 100.0),)


def test_what_happened_is_told_newest_first_with_who_and_why() -> None:
    records = [
        START,
        {**ASK, "ok": False, "text": "ignored: not authorized"},
        outcome(160.0, True, text="life 2 serves"),
        outcome(170.0, True, text="life 3 serves", left=["task one"]),
        {"event": "forced", "pid": 7, "text": "shutdown timed out", "left": ["task two"], "at": 200.0},
    ]
    told = entries_of(records)
    assert [(entry.what, entry.mood) for entry in told] == [
        ("Ended unasked", "bad"),
        ("Restart exec", "wait"),
        ("Restart exec", "good"),
        ("Restart refused", "bad"),
        ("Started", "good"),
    ]
    assert told[0].text == "shutdown timed out; unfinished: task two"
    assert told[1].text == "life 3 serves; not done: task one"
    assert (told[2].who, told[2].reason, told[2].took) == ("SIGUSR1", "why", 2.0)


def test_foreign_text_is_cut_and_harmless() -> None:
    assert safe('<a href="x">') == "&lt;a href=&quot;x&quot;&gt;"
    assert safe("a\nb\x1b[2J\u202e\udc80") == "a\\nb\\x1b[2J\\u202e\\udc80"
    assert safe("x" * 500) == "x" * 159 + "…"


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
