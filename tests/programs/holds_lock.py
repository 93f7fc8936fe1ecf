"""Takes the lock "name" and keeps it."""

import os
import signal
import sys

from gatewaylock import GatewayLock

GatewayLock("name", run_dir=sys.argv[1]).acquire()
print("ready", os.getpid(), flush=True)
signal.pause()
