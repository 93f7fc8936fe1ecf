"""A thread-based TCP server: socketserver, with the gateway's listening socket."""

import os
import socketserver
import sys
import threading

from gatewaylock import Gateway


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(b"%d %s" % (os.getpid(), line))


class EchoServer(socketserver.ThreadingTCPServer):
    def __init__(self, gateway: Gateway) -> None:
        listener = gateway.listen("127.0.0.1", int(sys.argv[2]))
        super().__init__(listener.getsockname(), Echo, bind_and_activate=False)
        self.socket.close()
        self.socket = listener.dup()  # ours to close; the gateway's own stays open
        threading.Thread(target=self.serve_forever, args=(0.02,)).start()
        print("ready", os.getpid(), listener.getsockname()[1], flush=True)

    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        self.shutdown()  # no more accept(): who connects now waits for the next life
        self.server_close()  # waits for the connections that are open


gateway = Gateway("echo", run_dir=sys.argv[1], allow_sigusr1=True)
raise SystemExit(gateway.run(EchoServer))
