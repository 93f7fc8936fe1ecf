"""What we use of waitress, and nothing else; it has no types of its own, so they are written here.

Only this room imports the library.  A new release is checked against this page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    import threading
    from socket import socket as Socket

    Map = dict[int, "Dispatcher"]  #: descriptor -> who answers for it; what one turn of the poller polls

    class Dispatcher:
        """A socket in the poller's map; every ``handle_`` method runs on the poller's thread."""

        logger: logging.Logger | logging.LoggerAdapter[logging.Logger]
        socket: Socket | None
        connected: bool
        accepting: bool
        _map: Map

        def __init__(self, sock: Socket | None = None, map: Map | None = None) -> None: ...
        def readable(self) -> bool: ...
        def writable(self) -> bool: ...
        def handle_read(self) -> None: ...
        def handle_close(self) -> None: ...
        def close(self) -> None: ...

    class Adjustments:
        """The library's options."""

        def __init__(self, **options: object) -> None: ...

    class Parser:
        """One request, read or partly read."""

        headers: dict[str, str]  #: names in capitals, with underscores
        header_plus: bytes  #: what was read while the header is not complete
        headers_finished: bool
        header_bytes_received: int
        body_bytes_received: int

    class HTTPChannel(Dispatcher):
        """One connection."""

        server: BaseWSGIServer
        adj: Adjustments
        request: Parser | None  #: partly read
        requests: list[Parser]  #: read, not answered yet; the first one is being answered
        requests_lock: threading.Lock
        outbuf_lock: threading.Condition  #: reentrant
        total_outbufs_len: int  #: bytes of answers that the client has not taken yet
        close_when_flushed: bool
        will_close: bool

        def __init__(
            self, server: BaseWSGIServer, sock: Socket, addr: object, adj: Adjustments, map: Map
        ) -> None: ...
        def service(self) -> None: ...
        def cancel(self) -> None: ...

    class Task:
        """The answer to one request, made by a worker."""

        logger: logging.Logger | logging.LoggerAdapter[logging.Logger]
        channel: HTTPChannel
        request: Parser
        status: str
        response_headers: list[tuple[str, str]]
        content_length: int | None
        complete: bool
        wrote_header: bool

        def execute(self) -> None: ...
        def write(self, data: bytes) -> None: ...
        def build_response_header(self) -> bytes: ...

    class WSGITask(Task):
        """The application's answer."""

    class ErrorTask(Task):
        """The library's own answer: 4xx or 500."""

    class BaseWSGIServer(Dispatcher):
        """A listening socket, and what its connections need to know."""

        channel_class: type[HTTPChannel]
        effective_host: str
        server_name: str

        def __init__(
            self,
            application: object,
            map: Map | None = None,
            _start: bool = True,
            _sock: Socket | None = None,
            dispatcher: object = None,
            adj: Adjustments | None = None,
            sockinfo: tuple[Any, ...] | None = None,
            bind_socket: bool = True,
        ) -> None: ...
        def pull_trigger(self) -> None: ...

    def poll(timeout: float | None, map: Map) -> None:
        """One turn; *timeout* in seconds, None waits for ever."""
else:
    from waitress.adjustments import Adjustments
    from waitress.channel import HTTPChannel
    from waitress.server import BaseWSGIServer
    from waitress.task import ErrorTask, Task, WSGITask
    from waitress.wasyncore import dispatcher as Dispatcher
    from waitress.wasyncore import poll2 as poll

    Map = dict

__all__ = (
    "Adjustments",
    "BaseWSGIServer",
    "Dispatcher",
    "ErrorTask",
    "HTTPChannel",
    "Map",
    "Task",
    "WSGITask",
    "poll",
)
