"""Starts to take the lock "name" and is killed behind the step named on the command line."""

import os
import signal
import sys
from typing import Any

from gatewaylock import GatewayLock
from gatewaylock.system import flock, guard
from gatewaylock.system.rundir import RunDir

run_dir, step = sys.argv[1:]
places: dict[str, tuple[Any, str]] = {
    "open": (RunDir, "open_file"),
    "lock": (flock, "lock"),
    "guard": (guard, "take"),
    "write": (os, "pwrite"),
    "held": (GatewayLock, "acquire"),
}
place, name = places[step]
real = getattr(place, name)


def dies(*args: Any, **kwargs: Any) -> None:
    real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)


setattr(place, name, dies)
GatewayLock("name", run_dir=run_dir).acquire()
