"""What somebody may send who means no good, and what must come of it; for a test and for a benchmark."""

from __future__ import annotations

import json
import socket

from hypothesis import strategies as st

from gatewaylock.control.protocol import ERRORS, VERBS, VERSION

#: values with the traps of JSON in them: huge numbers, lone surrogates, escape sequences, deep nesting
TRAPS = [
    *("\x1b[2J", "\r\nINFO forged", "\u202e", "\ud800", "<script>", "x" * 500, "1.1", "exec", "", "\0"),
    *(10**500, -(10**500), -0.0, 0, 1, 1e308, float("nan"), float("inf"), True, False, None),
    *([], {}, [[[[[]]]]], {"v": {"v": 1}}, [None, "x"], {"": ""}),
]
ANYTHING = st.sampled_from(TRAPS) | st.integers() | st.floats() | st.text(max_size=20)
KEYS = ["reason", "mode", "wait", "force", "limit", "item", "more", "v", "verb"]
VERBISH = st.sampled_from([*VERBS, *VERBS, "dance"])
#: an object that looks like a request, with a few fields that may be anything
FIELDS = st.tuples(VERBISH, st.lists(st.tuples(st.sampled_from(KEYS), ANYTHING), max_size=3)).map(
    lambda pair: json.dumps({"v": VERSION, "verb": pair[0], **dict(pair[1])}).encode()
)


def _mangled(parts: tuple[bytes, bytes, int, int]) -> bytes:
    """The line with *more* in place of some bytes of it."""
    line, more, at, length = parts
    return line[:at] + more + line[at + length :]


#: lines as they may come: well-formed, mangled (which may cut them, or make two of one), or no JSON at all
LINES = st.one_of(
    FIELDS,
    st.tuples(FIELDS, st.binary(max_size=5), st.integers(0, 60), st.integers(0, 100)).map(_mangled),
    st.binary(max_size=60),
    st.sampled_from([b"[" * 60000, b'{"v":1,"verb":' + b"1" * 60000, b"x" * 70000, b"\0" * 100, b""]),
)


def fuzz(path: str, sent: bytes) -> None:
    """Send *sent* to the server at *path* and its end: one line with an answer comes back, or nothing.

    A watcher hears more than one line, until we leave.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(20)
        connection.connect(path)
        try:
            connection.sendall(sent + b"\n")
            connection.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass  # it has heard enough: the answer is there all the same
        answer = _all(connection)
    lines = answer.splitlines()
    if not lines:
        return
    said = json.loads(lines[0])
    assert said["v"] == VERSION and isinstance(said["text"], str)
    assert said["ok"] or said["error"] in ERRORS
    assert b"\x1b" not in answer and answer.isascii()


def _all(connection: socket.socket) -> bytes:
    answer = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return answer
        if not chunk:
            return answer
        answer += chunk
