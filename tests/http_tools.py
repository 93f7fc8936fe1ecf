"""A gateway of paper, and clients that say exactly how a request ended."""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from gatewaylock.core.deadline import NEVER, Deadline
from gatewaylock.serve.server import WSGIServer, serve


class PaperGateway:
    """Just enough of a gateway for a server."""

    def __init__(self, deadline: Deadline = NEVER) -> None:
        self.deadline = deadline


def listener() -> socket.socket:
    """A listening socket on any port."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=socket.SOMAXCONN)
    sock.settimeout(5)
    return sock


@contextmanager
def serving(
    app: Callable[..., Any], *, sock: socket.socket | None = None, **options: Any
) -> Iterator[tuple[WSGIServer, PaperGateway, socket.socket]]:
    """A server on *sock* (or any port); closed at the end, whatever happened."""
    gateway, own = PaperGateway(), sock or listener()
    server = serve(gateway, app, [own], **options)
    try:
        yield server, gateway, own
    finally:
        gateway.deadline = min(gateway.deadline, Deadline.after(1))
        server.close("end of the test", restart_expected_ms=None)
        own.close()


@contextmanager
def in_background(call: Callable[[], object]) -> Iterator[threading.Thread]:
    """*call* on a thread that has ended when the block has."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(10)
        assert not thread.is_alive()


def eventually(claim: Callable[[], object], limit: float = 5.0) -> bool:
    """Whether *claim* becomes true within *limit* seconds."""
    until, never = Deadline.after(limit), threading.Event()
    while not claim() and not until.passed():
        never.wait(0.002)
    return bool(claim())


class Client:
    """One connection that speaks HTTP/1.1, and shows the bytes."""

    def __init__(self, to: socket.socket | tuple[str, int]) -> None:
        family, address = (socket.AF_INET, to) if isinstance(to, tuple) else (to.family, to.getsockname())
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(address)
        self._kept = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, text: str) -> None:
        self.sock.sendall(text.encode("latin-1"))

    def get(self, path: str = "/", *headers: str) -> tuple[str, dict[str, str], bytes]:
        """One request, its answer."""
        self.send("\r\n".join([f"GET {path} HTTP/1.1", "Host: test", *headers, "", ""]))
        return self.answer()

    def answer(self) -> tuple[str, dict[str, str], bytes]:
        """Status line, headers (lower case), body.  EOFError where the server closed before the end."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        status, *lines = head.split("\r\n")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while size := int(self._until(b"\r\n"), 16):
                body += self._exactly(size + 2)[:-2]
            self._exactly(2)
            return status, headers, body
        return status, headers, self._exactly(int(headers.get("content-length", "0")))

    def ended(self) -> bool:
        """Waits for the end of the connection: True for FIN, OSError for a reset."""
        return self.sock.recv(1) == b""

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._kept:
            self._more()
        part, _, self._kept = self._kept.partition(mark)
        return part

    def _exactly(self, size: int) -> bytes:
        while len(self._kept) < size:
            self._more()
        part, self._kept = self._kept[:size], self._kept[size:]
        return part

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"closed after {self._kept[:80]!r}")
        self._kept += data


B = TypeVar("B", bound="Beside")


class Beside:
    """Threads beside a block: each goes on until ``_stop`` is set, and has ended when the block has."""

    def __init__(self, *turns: Callable[[], object]) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=turn, daemon=True) for turn in turns]

    def __enter__(self: B) -> B:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


class Hammer(Beside):
    """Clients that ask one after the other until told to stop, and count how each request ended."""

    def __init__(
        self, to: socket.socket | tuple[str, int], *, fresh: int, kept: int, paths: tuple[str, ...] = ("/",)
    ) -> None:
        self.ended: Counter[str] = Counter()
        self._to, self._paths = to, paths
        self._counting = threading.Lock()
        super().__init__(*[self._fresh] * fresh, *[self._kept] * kept)

    def lost(self) -> dict[str, int]:
        """Everything but right answers."""
        return {how: count for how, count in self.ended.items() if how != "right"}

    def _fresh(self) -> None:
        while not self._stop.is_set():
            client: Client | None = None
            try:
                client = Client(self._to)
                self._ask(client, "fresh", "Connection: close")
            except OSError as error:
                self._count(f"fresh: {type(error).__name__}")
            finally:
                if client is not None:
                    client.sock.close()

    def _kept(self) -> None:
        client: Client | None = None
        while not self._stop.is_set():
            try:
                client = client or Client(self._to)
                goes_on = self._ask(client, "kept")
            except OSError as error:
                self._count(f"kept: {type(error).__name__}")
                goes_on = False
            if not goes_on and client is not None:
                client.sock.close()
                client = None
        if client is not None:
            client.sock.close()

    def _ask(self, client: Client, kind: str, *headers: str) -> bool:
        path = f"{self._paths[os.urandom(1)[0] % len(self._paths)]}?{os.urandom(4).hex()}"
        try:
            status, answer, body = client.get(path, *headers)
        except EOFError:
            self._count(f"{kind}: closed under it")
            return False
        right = status == "HTTP/1.1 200 OK" and body == path.encode()
        self._count("right" if right else f"{kind}: {status} {body[:40]!r}")
        return answer.get("connection", "").lower() != "close"

    def _count(self, how: str) -> None:
        with self._counting:
            self.ended[how] += 1


def echo(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answers with what was asked for."""
    body = f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


class Held:
    """An application that says when it is inside a request, and waits there to be let go."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        if environ["PATH_INFO"] == "/held":
            self.inside.release()
            self.go.wait(10)
        return echo(environ, start_response)


def threads_named(prefix: str) -> list[str]:
    """The living threads whose name begins so."""
    with suppress(RuntimeError):
        return [thread.name for thread in threading.enumerate() if thread.name.startswith(prefix)]
    return []
