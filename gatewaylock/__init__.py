"""One gateway at a time, stopped and restarted without losing its work.

    from gatewaylock import Gateway

    def start(gateway):                                  # once a life
        listener = gateway.listen("127.0.0.1", 18789)    # the same open socket in every life
        ...                                              # start your threads
        return server                                    # has close(reason, *, restart_expected_ms)

    raise SystemExit(Gateway("mybot").run(start))

Where things are.  A folder is a floor; a room imports only from its own floor and those below.

    cli, serve      the doors: the command, and WSGI applications in threads
    admin/          health, metrics, the status page, steering: an address that outlives lives
    gateway         the public object
    loop/           one life after another: the floor that knows both wings
    system/         what the OS does:  host  rundir  flock  lock  guard  inbox  binding  listeners  image  watchdog
                    supervisor/  ground  notify  passed
    work/           what threads do:  lanes  runs  permit  drain
    control/        the local socket: one small protocol, and who may speak it
    core/           what we talk about:  errors  deadline  limits  plan
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from .version import VERSION as __version__  # noqa: F401

if "GATEWAYLOCK_HANDOFF" in os.environ:  # a restart has just put this image in place
    from .system.image import secure

    secure()

if TYPE_CHECKING:
    from .core.deadline import NEVER, Deadline
    from .core.errors import (
        AddressTakenError,
        ConfigError,
        GatewayDrainingError,
        GatewayError,
        GatewayLockError,
        LaneClearedError,
        NotRunningError,
        RestartFailed,
        RunDirError,
        StartFailed,
        TargetError,
        WorkLostError,
    )
    from .core.events import Event
    from .core.limits import Limits
    from .core.plan import Phase, Status
    from .gateway import Gateway, run_gateway_loop
    from .server import Server
    from .system.lock import GatewayLock
    from .work.permit import restart_iteration_hook

#: Where each name lives.  A room is opened when somebody asks for a name in it: ``gateway status`` and
#: whoever wants an error class alone need not wait 50 ms for the loop.
ROOMS = {
    "core.deadline": ("NEVER", "Deadline"),
    "core.errors": (
        "AddressTakenError",
        "ConfigError",
        "GatewayDrainingError",
        "GatewayError",
        "GatewayLockError",
        "LaneClearedError",
        "NotRunningError",
        "RestartFailed",
        "RunDirError",
        "StartFailed",
        "TargetError",
        "WorkLostError",
    ),
    "core.events": ("Event",),
    "core.limits": ("Limits",),
    "core.plan": ("Phase", "Status"),
    "gateway": ("Gateway", "run_gateway_loop"),
    "server": ("Server",),
    "system.lock": ("GatewayLock",),
    "work.permit": ("restart_iteration_hook",),
}
__all__ = [
    "NEVER",
    "AddressTakenError",
    "ConfigError",
    "Deadline",
    "Event",
    "Gateway",
    "GatewayDrainingError",
    "GatewayError",
    "GatewayLock",
    "GatewayLockError",
    "LaneClearedError",
    "Limits",
    "NotRunningError",
    "Phase",
    "RestartFailed",
    "RunDirError",
    "Server",
    "StartFailed",
    "Status",
    "TargetError",
    "WorkLostError",
    "restart_iteration_hook",
    "run_gateway_loop",
]


def __getattr__(name: str) -> object:
    for room, names in ROOMS.items():
        if name in names:
            found: object = getattr(import_module(f".{room}", __name__), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
