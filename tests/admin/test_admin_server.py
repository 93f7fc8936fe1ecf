"""The admin server against clients that are slow, silent, many, mad, or gone."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from contextlib import ExitStack

import pytest
from http_tools import eventually
from paper_site import answer, client, rest, serving

from gatewaylock.admin import client as limits
from gatewaylock.admin import server as crowd
from gatewaylock.core.deadline import Deadline

pytestmark = pytest.mark.usefixtures("descriptors")
GET = "GET /now HTTP/1.1"


def test_an_answer_is_whole_says_that_it_is_the_last_and_keeps_browsers_honest() -> None:
    with serving() as (_, _, address):
        head, _, body = answer(address, GET).partition(b"\r\n\r\n")
        assert answer(address, "HEAD /now HTTP/1.1") == head + b"\r\n\r\n"
        assert answer(address, "POST /made HTTP/1.1", "Content-Length: 5", body=b"hello").endswith(
            b"made hello\n"
        )
    assert body == b"now\n"
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    for line in (
        "Connection: close",
        "Content-Length: 4",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
    ):
        assert line in lines


def test_a_request_may_come_byte_by_byte() -> None:
    with serving() as (_, site, address), client(address) as connection:
        for byte in b"POST /made HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi":
            connection.sendall(bytes([byte]))
        assert rest(connection).endswith(b"made hi\n")
        assert len(site.asked) == 1


def test_what_breaks_or_is_not_there_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as (_, _, address):
        assert answer(address, "GET /breaks HTTP/1.1") == b""
        assert b"404" in answer(address, "GET /nowhere HTTP/1.1")
        assert b"200" in answer(address, GET)
    assert "an admin request failed" in caplog.text


def test_a_page_that_hangs_holds_up_no_health_check_and_is_answered_503_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAKE", 0.3)
    with serving() as (_, site, address), client(address, "GET /held HTTP/1.1") as held:
        assert eventually(lambda: bool(site.asked))
        assert b"200" in answer(address, GET)
        assert b"503" in rest(held)
        with client(address, "GET /held HTTP/1.1") as late:
            site.go.set()
            assert b"held" in rest(late)


def test_only_so_many_answers_are_made_at_once() -> None:
    with serving() as (_, site, address), ExitStack() as stack:
        held = [stack.enter_context(client(address, "GET /held HTTP/1.1")) for _ in range(crowd.JOBS)]
        assert eventually(lambda: len(site.asked) == crowd.JOBS)
        assert b"503" in answer(address, "GET /made HTTP/1.1")
        assert b"200" in answer(address, GET)
        site.go.set()
        assert all(b"held" in rest(one) for one in held)


def test_who_says_nothing_has_to_go_sooner_when_it_is_crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CROWDED", 0.1)
    with serving() as (_, _, address), ExitStack() as stack:
        silent = [stack.enter_context(client(address)) for _ in range(3 * crowd.CLIENTS)]
        since = time.monotonic()
        assert b"200" in answer(address, GET)  # behind all of them in the queue
        assert time.monotonic() - since < limits.READ
        assert b"408" in rest(silent[0])


def test_a_slow_reader_is_dropped_and_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WRITE", 0.3)
    with serving() as (server, _, address), client(address, "GET /big HTTP/1.1") as slow:
        assert slow.recv(10)
        assert b"200" in answer(address, GET)
        assert eventually(lambda: not server._clients)


def test_a_stream_hears_what_is_published_until_it_falls_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BEHIND", 1000)
    with serving() as (server, _, address), client(address, "GET /stream HTTP/1.1") as stream:
        assert eventually(lambda: server.listens("stream"))
        server.publish("stream", b"data: 1\n\n")
        server.publish("other", b"data: 2\n\n")
        heard = b""
        while b"data: 1" not in heard:
            heard += stream.recv(1000)
        assert b"text/event-stream" in heard and b"data: 2" not in heard
        for _ in range(200):
            server.publish("stream", b"x" * 100_000)
        assert eventually(lambda: not server.listens("stream"))


def test_only_so_many_streams_and_none_of_them_takes_the_place_of_a_request() -> None:
    with serving() as (server, _, address), ExitStack() as stack:
        for _ in range(crowd.STREAMS):
            stack.enter_context(client(address, "GET /stream HTTP/1.1"))
        assert eventually(lambda: len(server._clients) == crowd.STREAMS)
        assert b"503" in answer(address, "GET /stream HTTP/1.1")
        assert b"200" in answer(address, GET)


def test_a_silent_stream_says_that_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "PING", 0.05)
    with serving() as (server, _, address), client(address, "GET /stream HTTP/1.1") as stream:
        assert eventually(lambda: server.listens("stream"))
        server.publish("stream", b"data: 1\n\n")
        heard = b""
        while heard.count(b": here") < 2:
            heard += stream.recv(1000)


def test_shut_answers_who_has_asked_ends_the_streams_and_leaves_newcomers_in_the_queue() -> None:
    with serving() as (server, site, address), ExitStack() as stack:
        stream = stack.enter_context(client(address, "GET /stream HTTP/1.1"))
        held = stack.enter_context(client(address, "GET /held HTTP/1.1"))
        assert eventually(lambda: len(site.asked) == 2)
        server.shut(True)
        assert rest(stream).startswith(b"HTTP/1.1 200 OK")  # and then a clean end
        late = stack.enter_context(client(address, GET))
        assert not server.wait_quiet(Deadline.after(0.05))
        site.go.set()
        assert b"held" in rest(held)
        assert server.wait_quiet(Deadline.after(5))
        assert len(site.asked) == 2
        server.shut(False)
        assert b"now" in rest(late)


def test_without_descriptors_it_waits_and_then_answers(caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving() as (_, _, address), client(address) as connection:
        lowest = os.dup(0)
        os.close(lowest)
        with socket.socket() as late:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, before[1]))
            try:
                late.connect(address)
                late.sendall(b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
                assert eventually(lambda: "no admin connections" in caplog.text)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, before)
            assert b"now" in rest(late)
        connection.sendall(b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"now" in rest(connection)


def test_in_a_forked_child_nothing_of_it_is_left_open() -> None:
    with serving() as (_, site, address), client(address, "GET /held HTTP/1.1") as held:
        assert eventually(lambda: bool(site.asked))
        come, go = os.pipe()
        child = os.fork()
        if not child:
            os.close(go)
            os.read(come, 1)
            os._exit(0)
        os.close(come)
        site.go.set()
        assert b"held" in rest(held)  # the end is seen though the child lives
        os.close(go)
        os.waitpid(child, 0)


def test_the_end_comes_in_time_whatever_is_under_way() -> None:
    with serving() as (server, _, address), client(address), client(address, "GET /held HTTP/1.1"):
        assert eventually(lambda: len(server._clients) == 2)
        since = time.monotonic()
        server.close()
        assert time.monotonic() - since < 3
    assert not [thread for thread in threading.enumerate() if thread.name == "gatewaylock-admin"]
