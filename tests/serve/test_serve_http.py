"""What clients and applications see of a server that lives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from http_tools import Client, Held, PaperGateway, echo, eventually, listener, serving

from gatewaylock.core.errors import GatewayDrainingError, WorkLostError
from gatewaylock.serve.server import serve


def test_many_connections_share_one_pool_and_several_listeners(tmp_path: Path) -> None:
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "http"))
    unix.listen()
    first, second = listener(), listener()
    server = serve(PaperGateway(), echo, [first, second, unix], threads=2)
    for own in (first, second, unix, second):
        with Client(own) as client:
            assert [client.get(f"/{turn}")[2] for turn in "ab"] == [b"/a?", b"/b?"]
    server.close("gateway stopping", restart_expected_ms=None)
    for own in (first, second, unix):
        own.close()


def test_the_environment_is_valid_wsgi() -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    with serving(validator(app)) as (_, _, own), Client(own) as client:
        assert client.get("/a%20b?c=d", "X-Forwarded-Proto: https")[2] == b"ok"
        assert seen["SERVER_PORT"] == str(own.getsockname()[1])
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/a b", "c=d")
    assert seen["HTTP_X_FORWARDED_PROTO"] == "https"
    assert seen["wsgi.multithread"] is True


@pytest.mark.parametrize("size", [10_000_000])
def test_a_large_upload_arrives_whole(size: int) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [str(len(body)).encode()]

    with serving(app) as (_, _, own), Client(own) as client:
        client.send(f"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n")
        client.sock.sendall(b"x" * size)
        assert client.answer()[2] == str(size).encode()


@pytest.mark.parametrize("error", [ValueError("no"), OSError("disk"), SystemExit(3), KeyboardInterrupt()])
def test_an_exception_is_a_500_in_the_log_and_the_worker_lives_on(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/bad":
            raise error
        return echo(environ, start_response)

    with serving(app, threads=1) as (server, _, own):
        with Client(own) as client:
            assert client.get("/bad")[0] == "HTTP/1.1 500 Internal Server Error"
        with Client(own) as client:
            assert client.get("/good")[2] == b"/good?"
            assert eventually(lambda: server.in_flight() == 0)
    assert "Exception while serving /bad" in caplog.text
    assert type(error).__name__ in caplog.text


@pytest.mark.parametrize("error", [GatewayDrainingError(), WorkLostError("main", True)])
def test_refused_and_lost_work_is_a_503_that_says_when_to_come_back(error: Exception) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-Half", "made")])
        raise error

    with serving(app) as (_, _, own), Client(own) as client:
        status, headers, body = client.get()
        assert (status, headers["retry-after"]) == ("HTTP/1.1 503 Service Unavailable", "1")
        assert "x-half" not in headers
        assert b"restarting" in body
        assert client.get()[0].startswith("HTTP/1.1 503")  # the connection lives on


def test_work_lost_after_the_answer_began_is_cut_short_visibly() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"half"
        raise WorkLostError("main", True)

    with serving(app) as (_, _, own), Client(own) as client, pytest.raises(EOFError):
        client.get()


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /%0d%0afake%1b[31m HTTP/1.1",
        "GET /\x1b[2J HTTP/1.1",
        "BAD\x1b[31m\x07",
        "GET / HTTP/1.1\r\nX\x1b[1m",
    ],
)
def test_nothing_a_client_sends_reaches_the_log_as_it_came(
    request_line: str, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise ValueError("always")

    caplog.set_level(0)
    with serving(app) as (_, _, own), Client(own) as client:
        client.send(f"{request_line}\r\nHost: test\r\n\r\n")
        assert client.answer()[0].startswith(("HTTP/1.1 500", "HTTP/1.0 400", "HTTP/1.1 400"))
    messages = [record.getMessage() for record in caplog.records]
    assert [text for text in messages if not text.isprintable()] == []


def test_garbage_gets_a_400_or_the_end_and_the_server_serves_on() -> None:
    with serving(echo) as (_, _, own):
        for garbage in (b"\x16\x03\x01" + os.urandom(200), b"\0" * 4096, b"\r\n" * 4096, b"GET\r\n\r\n"):
            with Client(own) as client:
                client.sock.sendall(garbage)
                client.sock.shutdown(socket.SHUT_WR)
                while client.sock.recv(65536):
                    pass
        with Client(own) as client:
            assert client.get("/still")[2] == b"/still?"


def test_slow_clients_do_not_take_the_workers() -> None:
    with serving(echo, threads=1) as (_, _, own):
        slow = [Client(own) for _ in range(50)]
        for client in slow:
            client.send("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        with Client(own) as client:
            assert client.get("/quick")[2] == b"/quick?"
        for client in slow:
            client.sock.close()


def test_a_client_that_goes_away_frees_its_connection() -> None:
    app = Held()
    with serving(app) as (server, _, own):
        with Client(own) as client:
            client.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n")
            app.inside.acquire()
        app.go.set()
        server.close("gateway stopping", restart_expected_ms=None)
        assert (server.connections(), server.in_flight()) == (0, 0)


def test_a_server_needs_something_to_listen_on() -> None:
    with pytest.raises(ValueError, match="nothing to listen on"):
        serve(PaperGateway(), echo, [])


STARVED = """
import resource, sys, time
sys.path[:] = {path!r}
from http_tools import Client, echo, listener, serving
soft = len(__import__("os").listdir("/proc/self/fd")) + 30
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
with serving(echo, threads=2) as (server, _, own):
    print(own.getsockname()[1], flush=True)
    sys.stdin.readline()
    before = time.process_time()
    sys.stdin.readline()
    print(time.process_time() - before, flush=True)
    sys.stdin.readline()
"""


def test_a_process_out_of_descriptors_neither_spins_nor_stops_serving() -> None:
    program = STARVED.format(path=sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as gateway:
        assert gateway.stdin and gateway.stdout and gateway.stderr
        try:
            port = int(gateway.stdout.readline())
            crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
            print("measure", file=gateway.stdin, flush=True)
            crowd[-1].settimeout(1.0)
            crowd[-1].sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            with pytest.raises(TimeoutError):
                crowd[-1].recv(1)  # one second in which the server has nothing to do but wait
            print("measured", file=gateway.stdin, flush=True)
            assert float(gateway.stdout.readline()) < 0.3
            for sock in crowd[:-1]:
                sock.close()
            assert crowd[-1].recv(15) == b"HTTP/1.1 200 OK"
            crowd[-1].close()
            print("bye", file=gateway.stdin, flush=True)
            _, words = gateway.communicate(timeout=10)
            assert (
                1 <= words.count("cannot accept connections: Too many open files") <= 50
            )  # a spin: thousands
        finally:
            gateway.kill()
