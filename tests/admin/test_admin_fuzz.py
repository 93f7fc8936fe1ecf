"""Whatever comes to the admin address: no crash, no hang, no leak, no second meaning.  Few here, 100,000 by

python -m tests.benchmarks.fuzz_admin
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paper_site import answer, rest, serving

from gatewaylock.admin.guard import Guard
from gatewaylock.admin.past import entries_of, lives_of
from gatewaylock.admin.steer import request_of
from gatewaylock.admin.wire import END, HEAD, Asked, Refused, body_length, read_head
from gatewaylock.admin.words import safe

LINES = [b"GET /now HTTP/1.1", b"POST /made HTTP/1.1", b"GET /held HTTP/1.0", b"HEAD /now HTTP/1.1"]
ODD = [
    b"GET http://x/ HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"Host: localhost",
    b"Host: evil",
    b"Host : x",
    b" folded",
]
SIZED = [
    b"Content-Length: 3",
    b"Content-Length: -1",
    b"Transfer-Encoding: chunked",
    b"X: " + b"y" * 9000,
    b": ",
]
PIECE = st.one_of(
    st.sampled_from(LINES + ODD + SIZED + [b"\r\n", b"\n", b"\0", b"abc"]), st.binary(max_size=30)
)
REQUEST = st.lists(st.one_of(PIECE, st.sampled_from(LINES).map(lambda line: line + b"\r\n")), max_size=8)
TEXT = st.text(max_size=40)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT)
VALUE = st.one_of(
    PLAIN, st.lists(PLAIN, max_size=2), st.dictionaries(st.sampled_from(["ok", "left", "mode"]), PLAIN)
)
KEYS = "life pid phase edge was ok action cause reason text account done left why code took started mode at"
EVENTS = ["start", "asked", "outcome", "failed", "end", "forced", "other"]
RECORD = st.fixed_dictionaries(
    {"event": st.sampled_from(EVENTS), "at": st.floats(-1e18, 1e18)},
    optional={key: VALUE for key in KEYS.split() if key != "at"},
)


def fuzzed(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """So many inputs, however long each takes."""
    return settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


def bytes_over_tcp(examples: int) -> None:
    """One answer goes back or none, and the next client is served."""
    with serving() as (server, site, address):
        site.go.set()

        @fuzzed(examples)
        @given(REQUEST, st.booleans(), st.booleans())
        def one(pieces: list[bytes], resets: bool, ends: bool) -> None:
            with socket.create_connection(address, timeout=20) as connection:
                connection.sendall(b"\r\n".join(pieces) + (b"\r\n\r\n" if ends else b""))
                if resets:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                else:
                    connection.shutdown(socket.SHUT_WR)
                    said = rest(connection)
                    assert said == b"" or said.startswith((b"HTTP/1.1 200", b"HTTP/1.1 4"))
                    assert said.count(b"HTTP/1.1 ") <= 1
            assert b"200" in answer(address, "GET /now HTTP/1.1")

        one()
        assert len(server._clients) < 8


def heads(examples: int) -> None:
    """A head is refused, or says exactly what it seems to say."""

    @fuzzed(examples)
    @given(st.one_of(st.binary(max_size=200), REQUEST.map(b"\r\n".join)))
    def one(head: bytes) -> None:
        try:
            asked = read_head(head.partition(END)[0][:HEAD], "peer")
            length = body_length(asked)
        except Refused as refused:
            assert 400 <= refused.answer.status < 500
            return
        assert 0 <= length <= 4096
        assert asked.path.startswith("/") and asked.path.isascii() and asked.path.isprintable()
        assert head.startswith(f"{asked.method} {asked.path}".encode())
        assert not any(char in value for value in asked.headers.values() for char in "\r\n\0")

    one()


def steering(examples: int) -> None:
    """No form without the token is a request, whatever else is in it."""
    guard = Guard("127.0.0.1", token="sixteen-or-more!")

    @fuzzed(examples)
    @given(
        st.one_of(st.binary(max_size=120), st.dictionaries(TEXT, TEXT, max_size=3).map(repr).map(str.encode)),
        TEXT,
    )
    def one(body: bytes, bearer: str) -> None:
        headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"Bearer {bearer}"}
        try:
            request_of(Asked("POST", "/steer", headers=headers, body=b"do=stop&token=" + body), guard)
        except Refused as refused:
            assert refused.answer.status in (400, 401)
        else:
            raise AssertionError("it was taken")

    one()


def hosts(examples: int) -> None:
    """Only our own names are ours."""
    guard = Guard("127.0.0.1", ["gw.example"])

    @fuzzed(examples)
    @given(st.one_of(TEXT, st.from_regex(r"[a-z0-9.\[\]:-]{1,20}(:[0-9]{1,5})?", fullmatch=True)))
    def one(host: str) -> None:
        try:
            guard.check(Asked("GET", "/", headers={"host": host}))
        except Refused:
            return
        assert host.lower().partition(":")[0] in ("127.0.0.1", "localhost", "gw.example")

    one()


def histories(examples: int) -> None:
    """A history that another version wrote, or nobody in his right mind, still makes a page."""

    @fuzzed(examples)
    @given(st.lists(RECORD, max_size=6))
    def one(records: list[dict[str, object]]) -> None:
        lives_of(records)
        entries_of(records)

    one()


def texts(examples: int) -> None:
    """No text starts a tag, an attribute, a line or an escape sequence."""

    @fuzzed(examples)
    @given(st.text())
    def one(text: str) -> None:
        made = safe(text)
        assert not set(made) & set("<>\"'\n\r\t\x1b\u202e")
        made.encode()

    one()


def test_bytes_over_tcp() -> None:
    bytes_over_tcp(400)


def test_heads() -> None:
    heads(600)


def test_steering() -> None:
    steering(300)


def test_hosts() -> None:
    hosts(300)


def test_histories() -> None:
    histories(150)


def test_texts() -> None:
    texts(300)
