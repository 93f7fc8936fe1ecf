"""A WSGI application whose answers never end, each in a way of its own."""

import ctypes
import threading
from collections.abc import Callable, Iterator
from typing import Any


def never(how: str) -> None:
    if how == "/wait":
        threading.Event().wait()
    while how == "/loop":
        pass
    if how == "/c":
        ctypes.CDLL(None).sleep(60)


def endless() -> Iterator[bytes]:
    yield b"begun\n"
    threading.Event().wait()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    print("asked", environ["PATH_INFO"], flush=True)
    never(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return endless()
