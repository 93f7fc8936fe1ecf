"""Waits at a gate with 63 others, tries the lock "name" once, says how it went; again and again."""

import os
import sys

from gatewaylock import GatewayLock, GatewayLockError

run_dir, gate = sys.argv[1], int(sys.argv[2])
lock = GatewayLock("name", run_dir=run_dir)
import portalocker  # noqa: E402, F401  (its import takes longer than the race)

while True:
    print("ready", flush=True)
    os.read(gate, 1)
    try:
        lock.acquire(0)
        print("held", flush=True)
    except GatewayLockError:
        print("refused", flush=True)
    sys.stdin.readline()
    lock.release()
