"""Takes the lock "name", then forks a child that goes on living, as multiprocessing does."""

import os
import signal
import sys

from gatewaylock import GatewayLock

lock = GatewayLock("name", run_dir=sys.argv[1])
lock.acquire()
child = os.fork()
if not child:
    signal.pause()
print("ready", os.getpid(), flush=True)
print("child", child, flush=True)
signal.pause()
