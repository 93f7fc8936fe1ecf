"""A WSGI application that answers with what was asked for; ``/slow`` takes a while, ``/long`` a long one."""

import threading
from collections.abc import Callable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    threading.Event().wait({"/slow": 0.3, "/long": 1.5}.get(environ["PATH_INFO"], 0))
    body = f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
