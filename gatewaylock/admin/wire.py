"""HTTP/1.x as far as an admin page needs it: strict, bounded, one request a connection.

A line that is not exactly what the standard says is a 400 and the end of it: what is refused cannot be
understood in two ways.  No keep-alive, no chunks, no absolute addresses: no client of ours needs them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

HEAD = 8192  #: bytes of a request before its body, at most
BODY = 4096  #: bytes of a body, at most
LINES = 64  #: header lines, at most
END = b"\r\n\r\n"

REQUEST = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,1023}) HTTP/1\.([01])")
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
#: what must not come twice: a proxy could read the one and we the other
ONCE = frozenset(
    ("host", "origin", "authorization", "content-length", "content-type", "sec-fetch-site", "sec-fetch-mode")
)
TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"
#: of every answer
ALWAYS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    # not no-referrer: with that a browser sends "Origin: null" with our own form
    ("Referrer-Policy", "same-origin"),
)
NOTHING = "default-src 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Answer:
    """What goes back; ``policy`` is its Content-Security-Policy."""

    status: HTTPStatus
    body: bytes
    kind: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
    policy: str = NOTHING

    @property
    def line(self) -> str:
        """Such as ``404 Not Found``."""
        return f"{self.status.value} {self.status.phrase}"

    def header(self) -> list[tuple[str, str]]:
        """All of it."""
        length = ("Content-Length", str(len(self.body)))
        policy = ("Content-Security-Policy", self.policy)
        return [("Content-Type", self.kind), length, *self.headers, *ALWAYS, policy]

    def encode(self, *, body: bool = True) -> bytes:
        """The bytes of it; without the *body* for HEAD."""
        return _head(self.line, self.header()) + (self.body if body else b"")


def _head(line: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {line}", "Connection: close", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("latin-1") + END


#: the beginning of an answer that goes on until one of us hangs up
STREAM = _head("200 OK", [("Content-Type", "text/event-stream"), *ALWAYS]) + b"retry: 500\n\n"


def say(status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Answer:
    """A line of text for people."""
    return Answer(status, f"{text}\n".encode(), headers=headers)


class Refused(Exception):
    """This request is answered with ``answer`` and nothing else is done for it."""

    def __init__(self, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(status, text)
        self.answer = say(status, text, *headers)


@dataclass(frozen=True)
class Asked:
    """One request.  Header names are in small letters; ``old`` is HTTP/1.0."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: str = ""
    old: bool = False


def read_head(head: bytes, peer: str) -> Asked:
    """The request whose lines are *head*, without the empty one.  Refused."""
    first, *lines = head.split(b"\r\n")
    found = REQUEST.fullmatch(first)
    if not found:
        raise Refused(HTTPStatus.BAD_REQUEST, "that is no request of HTTP/1.1")
    if len(lines) > LINES:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"at most {LINES} header lines")
    path, _, query = found[2].decode("ascii").partition("?")
    return Asked(found[1].decode("ascii"), path, query, _headers(lines), peer=peer, old=found[3] == b"0")


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        found = HEADER.fullmatch(line)
        if not found:
            raise Refused(HTTPStatus.BAD_REQUEST, "one of the header lines is none")
        name, value = found[1].decode("ascii").lower(), found[2].decode("latin-1")
        if name in headers:
            if name in ONCE:
                raise Refused(HTTPStatus.BAD_REQUEST, f"two lines of {name}")
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


def body_length(asked: Asked) -> int:
    """How many bytes follow the head.  Refused for more than BODY, and for what does not say how many."""
    if "transfer-encoding" in asked.headers:
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "send a Content-Length")
    length = asked.headers.get("content-length", "0")
    if not re.fullmatch(r"[0-9]{1,9}", length):
        raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length is no number")
    if int(length) > BODY:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {BODY} bytes")
    return int(length)
