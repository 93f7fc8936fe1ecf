"""A gateway whose start(), close() and whatever else are told from outside, one statement a line."""

import logging
import os
import sys
import threading
import time  # noqa: F401
from typing import Any

from gatewaylock import Gateway, Limits  # noqa: F401

logging.basicConfig(stream=sys.stdout, level="INFO", format="%(levelname)s %(message)s")


def say(*words: object, flush: bool = True) -> None:
    """A line in one piece: other threads write here too."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    if flush:
        sys.stdout.flush()


gateway = Gateway("lives", run_dir=sys.argv[1], **eval(os.environ.get("OPTIONS", "{}")))


class Server:
    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        say(f"close({reason!r}, restart_expected_ms={restart_expected_ms})", flush=True)
        exec(os.environ.get("CLOSE", ""), globals())


def start(gateway: Gateway) -> Server:
    global hold
    hold = threading.Event()
    say(f"start of life {gateway.life}", flush=True)
    exec(os.environ.get("START", ""), globals())
    return Server()


def listen() -> None:
    for line in sys.stdin:
        exec(line, globals())


def sleeps(seconds: float) -> Any:
    threading.Event().wait(seconds)
    say("slept", flush=True)


threading.Thread(target=listen, daemon=True).start()
exec(os.environ.get("BEFORE", ""), globals())
code = gateway.run(start)
say(f"code {code}", flush=True)
raise SystemExit(code)
