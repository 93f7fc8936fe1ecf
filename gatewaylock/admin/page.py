"""The page: one file, nothing loaded from elsewhere, useful without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import json
import pkgutil
from string import Template
from typing import Any

from ..core.plan import Phase
from ..version import VERSION
from .sections import SECTIONS
from .view import View
from .words import safe, sentence

STEER = """<details class="steer"><summary>Steer</summary><form id="steer" method="post" action="steer">
<label>Token<input type="password" name="token" required autocomplete="off"></label>
<label>Reason<input name="reason" maxlength="200" autocomplete="off"></label>
<div class="buttons"><button name="do" value="restart">Restart</button>
<button name="do" value="quiet">Quiet</button><button name="do" value="resume">Resume</button>
<button name="do" value="stop" class="bad" data-sure="Stop this gateway?">Stop</button>
<button name="do" value="stop now" class="bad" data-sure="Stop it now, and lose what is under way?">Stop now</button>
<output id="said"></output></div></form></details>"""


class Page:
    """Template, style and script, read once: a newer release on disk must not mix with this one.

    *stream*: where the events are heard; empty where the page has to look again by itself.
    """

    def __init__(self, *, stream: str, links: tuple[str, ...]) -> None:
        self._html, self._style, self._script = (_read(f"page.{kind}") for kind in ("html", "css", "js"))
        self._stream = stream
        self._links = " ".join(f'<a href="{safe(link)}">{safe(link)}</a>' for link in links)
        self.policy = (
            f"default-src 'none'; style-src {_digest(self._style)}; script-src {_digest(self._script)}; "
            "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    def whole(self, view: View) -> bytes:
        """All of it."""
        fields = {
            "title": title(view),
            "refresh": "5" if view.status.phase is Phase.SERVING else "2",
            "style": self._style,
            "script": self._script,
            "stream": self._stream,
            "sections": "\n".join(make(view) for make in SECTIONS.values()),
            "steer": STEER if view.steers else "",
            "version": VERSION,
            "links": self._links,
        }
        return Template(self._html).substitute(fields).encode()


def title(view: View) -> str:
    """Of the window."""
    return f"{safe(view.status.name)}: {safe(sentence(view.status).lower())}"


def live(view: View) -> dict[str, Any]:
    """What has changed since the page was loaded, for its script."""
    sections = {name: make(view) for name, make in SECTIONS.items()}
    return {"title": f"{view.status.name}: {sentence(view.status).lower()}", "sections": sections}


def encode(news: dict[str, Any]) -> bytes:
    """JSON, in ASCII."""
    return json.dumps(news, separators=(",", ":")).encode()


def _read(name: str) -> str:
    data = pkgutil.get_data(__package__ or "", name)
    assert data is not None
    return data.decode()


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
