"""An XML-RPC server in threads; long calls go through a lane and are drained."""

import os
import socketserver
import sys
import threading
from xmlrpc.server import SimpleXMLRPCServer

from gatewaylock import Gateway


class RPCServer(socketserver.ThreadingMixIn, SimpleXMLRPCServer):
    def __init__(self, gateway: Gateway) -> None:
        listener = gateway.listen("127.0.0.1", int(sys.argv[2]))
        super().__init__(listener.getsockname(), logRequests=False, bind_and_activate=False)
        self.socket.close()
        self.socket = listener.dup()
        self.register_function(lambda a, b: gateway.lanes.submit(pow, a, b).result(), "pow")
        self.register_function(os.getpid, "pid")
        threading.Thread(target=self.serve_forever, args=(0.02,)).start()
        print("ready", os.getpid(), listener.getsockname()[1], flush=True)

    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        self.shutdown()
        self.server_close()


raise SystemExit(Gateway("rpc", run_dir=sys.argv[1], allow_sigusr1=True).run(RPCServer))
