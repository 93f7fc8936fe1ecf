"""Requests per second of ``serve`` beside the bare library, in turns, on this machine.

    python tests/benchmarks/serve.py [SECONDS]      (default 2 a measurement, about 30 s in all)

Both serve the same application with the same number of threads and the same options, each in a process
of its own; the clients are a third process.  They take turns, so what the machine does meanwhile hits
both; the ratio is the median of the pairs' ratios.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PAIRS, CLIENTS, THREADS = 3, 8, 16
LIMIT = 4.0  #: seconds a measurement, at most: the whole thing stays under a minute


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def server(kind: str) -> None:
    """Serve until stdin ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    if kind == "serve":
        from gatewaylock.core.deadline import NEVER
        from gatewaylock.serve.server import serve

        gateway = type("Paper", (), {"deadline": NEVER})()
        serve(gateway, app, [listener], threads=THREADS)
    else:
        import waitress

        options = {"threads": THREADS, "connection_limit": 1000, "clear_untrusted_proxy_headers": False}
        bare = waitress.create_server(app, sockets=[listener], asyncore_use_poll=True, **options)
        threading.Thread(target=bare.run, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


def clients(port: str, mode: str, seconds: str) -> None:
    """CLIENTS threads, one request after the other; prints requests per second."""
    until, counts = time.monotonic() + float(seconds), [0] * CLIENTS

    def ask(number: int) -> None:
        kept = mode == "kept"
        request = b"GET / HTTP/1.1\r\nHost: x\r\n%s\r\n" % (b"" if kept else b"Connection: close\r\n")
        sock: socket.socket | None = None
        while time.monotonic() < until:
            sock = sock or socket.create_connection(("127.0.0.1", int(port)))
            sock.sendall(request)
            answer = b""
            while not answer.endswith(b"hello"):
                answer += sock.recv(4096)
            if not kept:
                sock.close()
                sock = None
            counts[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(counts) / float(seconds))


def measure(kind: str, mode: str, seconds: float) -> float:
    """Requests per second of a fresh server."""
    me = [sys.executable, __file__]
    with subprocess.Popen([*me, "server", kind], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin and process.stdout
        try:
            port = process.stdout.readline().strip()
            load = [*me, "clients", port, mode, str(seconds)]
            return float(subprocess.run(load, check=True, capture_output=True, text=True, timeout=30).stdout)
        finally:
            process.kill()


def main(seconds: float) -> None:
    """Both modes, PAIRS pairs each, order changing from pair to pair."""
    for mode in ("fresh", "kept"):
        rates: dict[str, list[float]] = {"serve": [], "waitress": []}
        for pair in range(PAIRS):
            for kind in sorted(rates, reverse=bool(pair % 2)):
                rates[kind].append(measure(kind, mode, seconds))
        ratio = statistics.median(a / b for a, b in zip(rates["serve"], rates["waitress"], strict=True))
        ours, bare = (statistics.median(rates[kind]) for kind in ("serve", "waitress"))
        print(f"{mode:5} connections: serve {ours:6.0f}/s, bare waitress {bare:6.0f}/s, ratio {ratio:.2f}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    match sys.argv[1:]:
        case ["server", kind]:
            server(kind)
        case ["clients", port, mode, seconds]:
            clients(port, mode, seconds)
        case rest:
            main(min(float(rest[0]) if rest else 2.0, LIMIT))
