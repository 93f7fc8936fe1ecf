"""A worker loop without any socket: one thread that works until it is told to stop."""

import sys
import threading

from gatewaylock import Gateway


class Worker:
    def __init__(self, gateway: Gateway) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.work, args=(gateway,))
        self.thread.start()

    def work(self, gateway: Gateway) -> None:
        print(f"working, life {gateway.life}", flush=True)
        self.stop.wait()

    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        print(f"closed: {reason}", flush=True)
        self.stop.set()
        self.thread.join()


raise SystemExit(Gateway("worker", run_dir=sys.argv[1], allow_sigusr1=True).run(Worker))
