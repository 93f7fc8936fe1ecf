"""An admin server over a site of paper, clients for it, and a status to show."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from gatewaylock.admin.maker import Maker
from gatewaylock.admin.server import Job, Server
from gatewaylock.admin.wire import Answer, Asked, Refused, say
from gatewaylock.core.deadline import NEVER
from gatewaylock.core.plan import Phase, Status

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


class PaperSite:
    """/now is answered at once, /made by the maker, /held when it is let go, /stream goes on."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[Asked] = []

    def answer(self, asked: Asked, reply: Callable[[Answer], None]) -> Answer | Job | str:
        self.asked.append(asked)
        match asked.path:
            case "/now":
                return say(HTTPStatus.OK, "now")
            case "/made":
                return lambda: reply(say(HTTPStatus.OK, f"made {asked.body.decode()}"))
            case "/held":
                return lambda: (self.go.wait(10), reply(say(HTTPStatus.OK, "held")))
            case "/big":
                return lambda: reply(Answer(HTTPStatus.OK, b"x" * 20_000_000))
            case "/stream":
                return "stream"
            case "/breaks":
                raise ZeroDivisionError
        raise Refused(HTTPStatus.NOT_FOUND, "not here")


@contextmanager
def serving() -> Iterator[tuple[Server, PaperSite, tuple[str, int]]]:
    """A server that answers; gone at the end, with all of its threads and descriptors."""
    site = PaperSite()
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    maker = Maker(lambda: NEVER)
    server = Server(listener, site.answer, maker.hire)
    maker.start()
    server.start()
    try:
        yield server, site, listener.getsockname()
    finally:
        site.go.set()
        maker.close()
        server.close()
        listener.close()


@contextmanager
def client(address: tuple[str, int], *lines: str, body: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which a request was sent, where *lines* make one."""
    with socket.create_connection(address, timeout=20) as connection:
        if lines:
            connection.sendall("\r\n".join([*lines, "Host: localhost", "", ""]).encode("latin-1") + body)
        yield connection


def rest(connection: socket.socket) -> bytes:
    """All that comes until the end."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


def answer(address: tuple[str, int], *lines: str, body: bytes = b"") -> bytes:
    """The whole answer to a request."""
    with client(address, *lines, body=body) as connection:
        return rest(connection)
