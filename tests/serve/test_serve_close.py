"""How the life of a server ends: what is answered, what is closed, what is cut, and when."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from http_tools import (
    Client,
    Hammer,
    Held,
    PaperGateway,
    echo,
    eventually,
    in_background,
    listener,
    serving,
    threads_named,
)

from gatewaylock.core.deadline import NEVER, Deadline
from gatewaylock.serve.server import WSGIServer, serve


def closing(server: WSGIServer, *, restart: int | None = 1500) -> Callable[[], None]:
    return lambda: server.close("gateway restarting", restart_expected_ms=restart)


def until_leaving(server: WSGIServer) -> None:
    """Returns when the server accepts no more: the poller has taken a turn since close() began."""
    assert eventually(lambda: not server._poller._doors[0].accepting)


def test_restarts_under_load_lose_nothing() -> None:
    own, gateway, held = listener(), PaperGateway(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/slow":
            held.wait(0.05)  # nobody sets it: a slow view
        return echo(environ, start_response)

    server = serve(gateway, app, [own], linger=0.3)
    with Hammer(own, fresh=4, kept=4, paths=("/", "/fast", "/slow")) as clients:
        for life in range(20):
            while clients.ended["right"] < 25 * (life + 1):
                held.wait(0.005)
            gateway.deadline = Deadline.after(10)
            server.close("gateway restarting", restart_expected_ms=1500)
            assert threads_named("gateway-http") == []
            gateway.deadline = NEVER
            server = serve(gateway, app, [own], linger=0.3)
    server.close("gateway stopping", restart_expected_ms=None)
    own.close()
    assert clients.lost() == {}
    assert clients.ended["right"] >= 500


def test_an_idle_stop_takes_milliseconds() -> None:
    with serving(echo) as (server, _, _):
        began = time.monotonic()
        server.close("gateway stopping", restart_expected_ms=None)
        assert time.monotonic() - began < 0.2  # the linger alone would be 0.5


def test_a_request_on_a_kept_connection_is_answered_while_the_server_leaves() -> None:
    with serving(echo, linger=5.0) as (server, _, own), Client(own) as client:
        assert "connection" not in client.get()[1]
        with in_background(closing(server)):
            until_leaving(server)
            status, headers, body = client.get("/late")
            assert (status, headers["connection"], body) == ("HTTP/1.1 200 OK", "close", b"/late?")
            assert client.ended()


def test_a_quiet_connection_ends_without_a_reset_after_the_linger() -> None:
    with serving(echo, linger=0.1) as (server, _, own), Client(own) as client:
        client.get()
        server.close("gateway restarting", restart_expected_ms=1500)
        assert client.ended()
        assert server.connections() == 0


def test_a_request_in_flight_is_answered_and_told_to_close() -> None:
    app = Held()
    with serving(app) as (server, _, own), Client(own) as client:
        client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n")
        app.inside.acquire()
        assert (server.in_flight(), server.connections()) == (1, 1)
        with in_background(closing(server)):
            until_leaving(server)
            app.go.set()
            status, headers, _ = client.answer()
            assert (status, headers["connection"]) == ("HTTP/1.1 200 OK", "close")
            assert client.ended()


def test_a_partly_read_request_is_answered() -> None:
    with serving(echo) as (server, _, own), Client(own) as client:
        client.send("GET /half HTTP/1.1\r\nHo")
        assert eventually(server.in_flight)
        with in_background(closing(server)):
            until_leaving(server)
            client.send("st: test\r\n\r\n")
            assert client.answer()[2] == b"/half?"


def test_an_upload_that_waits_for_100_continue_is_answered() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    with serving(app) as (server, _, own), Client(own) as client:
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer()[0] == "HTTP/1.1 100 Continue"
        with in_background(closing(server)):
            until_leaving(server)
            client.send("data")
            assert client.answer()[2] == b"data"


def test_pipelined_requests_are_all_answered_and_only_the_last_says_close() -> None:
    app = Held()
    with serving(app) as (server, _, own), Client(own) as client:
        client.send("".join(f"GET /{what} HTTP/1.1\r\nHost: test\r\n\r\n" for what in ("held", "b", "c")))
        app.inside.acquire()
        with in_background(closing(server)):
            until_leaving(server)
            app.go.set()
            answers = [client.answer() for _ in range(3)]
        assert [body for _, _, body in answers] == [b"/held?", b"/b?", b"/c?"]
        assert ["connection" in headers for _, headers, _ in answers] == [False, False, True]


def test_an_answer_that_began_before_the_close_is_completed_and_its_connection_lingers() -> None:
    inside, go = threading.Semaphore(0), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/stream":
            return echo(environ, start_response)

        def body() -> Any:
            yield b"one "
            inside.release()
            go.wait(10)
            yield b"two"

        start_response("200 OK", [("Content-Length", "7")])
        return body()

    with serving(app, linger=2.0) as (server, _, own), Client(own) as client:
        client.send("GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
        inside.acquire()
        with in_background(closing(server)):
            until_leaving(server)
            go.set()
            _, headers, body = client.answer()
            assert (headers.get("connection"), body) == (None, b"one two")
            assert client.get("/next")[1]["connection"] == "close"


def test_a_connection_that_the_kernel_queued_waits_for_the_next_life() -> None:
    gateway, own = PaperGateway(), listener()
    serve(gateway, echo, [own]).close("gateway restarting", restart_expected_ms=1500)
    with Client(own) as client:
        client.send("GET /early HTTP/1.1\r\nHost: test\r\n\r\n")
        server = serve(gateway, echo, [own])
        assert client.answer()[2] == b"/early?"
        client.sock.close()
        server.close("gateway stopping", restart_expected_ms=None)
    own.close()


def test_a_stop_answers_the_connections_that_wait_already() -> None:
    with serving(echo, linger=0.5) as (server, _, own), Client(own) as first:
        first.get()
        server._poller._doors[0].accepting = False  # so that connections stay in the kernel's queue ...
        first.get()  # ... from the next turn of the poller on
        clients = [Client(own) for _ in range(50)]
        for number, client in enumerate(clients):
            client.send(f"GET /{number} HTTP/1.1\r\nHost: test\r\n\r\n")
        assert server.connections() == 1
        with in_background(closing(server, restart=None)):
            assert [client.answer()[2] for client in clients] == [b"/%d?" % number for number in range(50)]
            for client in clients:
                client.sock.close()


@pytest.mark.parametrize("begin", ["GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"])
def test_a_client_that_never_finishes_its_request_cannot_hold_the_close(
    begin: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(echo) as (server, gateway, own), Client(own) as client:
        client.send(begin)
        assert eventually(server.in_flight)
        gateway.deadline = Deadline.after(0.4)
        server.close("gateway restarting", restart_expected_ms=1500)
        assert not gateway.deadline.passed()  # what comes after us needs some time too
        assert client.answer()[0] == "HTTP/1.1 503 Service Unavailable"
    assert "1 request(s) not answered in time" in caplog.text


def test_a_client_that_does_not_take_its_answer_cannot_hold_the_close(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return (b"x" * 65536 for _ in range(2000))

    with serving(app) as (server, gateway, own), Client(own) as client:
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        client.sock.recv(1)
        gateway.deadline = Deadline.after(0.4)
        server.close("gateway restarting", restart_expected_ms=1500)
        assert threads_named("gateway-http") == []
    assert "1 request(s) not answered in time" in caplog.text


def test_a_worker_stuck_in_the_application_is_named_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    app = Held()
    with serving(app) as (server, gateway, own), Client(own) as client:
        client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n")
        app.inside.acquire()
        gateway.deadline = Deadline.after(0.2)
        server.close("gateway restarting", restart_expected_ms=1500)
        assert client.answer()[0] == "HTTP/1.1 503 Service Unavailable"
        assert client.ended()
        (stuck,) = threads_named("gateway-http")
        assert f"still inside the application: {stuck}" in caplog.text
        thread = next(each for each in threading.enumerate() if each.name == stuck)
        app.go.set()
        thread.join(5)
        assert not thread.is_alive()


def test_an_earlier_deadline_takes_effect_at_once_when_hurried() -> None:
    app = Held()
    with serving(app) as (server, gateway, own), Client(own) as client:
        client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n")
        app.inside.acquire()
        gateway.deadline = Deadline.after(60)
        with in_background(closing(server)) as closer:
            until_leaving(server)
            gateway.deadline = Deadline.after(0)
            server.hurry()
            closer.join(2)
            assert not closer.is_alive()
        app.go.set()


def test_closing_twice_from_two_threads_is_one_close(caplog: pytest.LogCaptureFixture) -> None:
    app = Held()
    with serving(app) as (server, _, own), Client(own) as client:
        client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n")
        app.inside.acquire()
        with in_background(closing(server)), in_background(closing(server, restart=None)):
            until_leaving(server)
            app.go.set()
            assert client.answer()[0] == "HTTP/1.1 200 OK"
        closing(server)()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_close_from_inside_a_request_does_not_wait_for_itself_for_ever() -> None:
    servers: list[WSGIServer] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        servers[0].close("from a view", restart_expected_ms=None)
        return echo(environ, start_response)

    with serving(app) as (server, gateway, own), Client(own) as client:
        servers.append(server)
        gateway.deadline = Deadline.after(0.2)
        assert client.get()[0] == "HTTP/1.1 503 Service Unavailable"


def test_what_a_client_still_sends_does_not_destroy_its_last_answer() -> None:
    app = Held()
    with serving(app) as (_, _, own), Client(own) as client:
        client.send("GET /held HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        app.inside.acquire()
        client.sock.sendall(b"GET /again HTTP/1.1\r\nHost: test\r\n\r\n" * 100)
        app.go.set()
        assert client.answer()[2] == b"/held?"
        assert client.ended()


def test_an_extra_line_break_after_a_body_is_no_request_to_wait_for() -> None:
    with serving(echo, linger=0.1) as (server, _, own), Client(own) as client:
        client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab\r\n")
        client.answer()
        assert eventually(lambda: server.in_flight() == 0)
        server.close("gateway restarting", restart_expected_ms=1500)
        assert client.ended()


def test_the_listener_is_neither_closed_nor_shut_down() -> None:
    own = listener()
    with serving(echo, sock=own) as (server, _, _):
        server.close("gateway restarting", restart_expected_ms=1500)
        with Client(own):
            connection, _ = own.accept()
            connection.close()
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def test_what_waits_since_a_pause_is_somebody_elses_whenever_the_poller_looks() -> None:
    """An overlap: the successor accepts already. Whoever ends a pause waits here until the poller has turned."""
    own, gateway = listener(), PaperGateway(Deadline.after(10))
    server = serve(gateway, echo, [own])
    server.pause()
    with socket.create_connection(own.getsockname()):

        class Slow(type(server._poller._adj)):  # type: ignore[misc]
            def __setattr__(self, name: str, value: object) -> None:
                super().__setattr__(name, value)
                if name == "paused" and threading.current_thread() is closer:
                    server._poller._doors[0].pull_trigger()
                    eventually(server.connections, 0.5)

        server._poller._adj.__class__ = Slow
        closer = threading.Thread(target=closing(server))
        closer.start()
        closer.join(10)
        own.settimeout(5)
        own.accept()[0].close()
    own.close()
