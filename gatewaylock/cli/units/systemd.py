"""``NAME.service`` and ``NAME.socket`` for systemd 240 or newer."""

from __future__ import annotations

import ipaddress
import os

from ...core.errors import ConfigError
from .quoting import systemd_path, systemd_program, systemd_word
from .service import HOPELESS, Service

SERVICE = """\
# {name}.service, by `gateway unit systemd`.
#
#   gateway unit systemd ... > /etc/systemd/system/{name}.service
#   systemd-analyze verify /etc/systemd/system/{name}.service
#   systemctl daemon-reload && systemctl enable --now {name}
#
# systemctl reload {name}     the next version, tried first; no request is lost; fails if it does not serve
# systemctl restart {name}    a stop and a start; who connects in between waits
#
# For `systemctl --user`: ~/.config/systemd/user/, no User=, WantedBy=default.target.

[Unit]
Description=gateway {name}
{network}StartLimitIntervalSec=60
StartLimitBurst={tries}

[Service]
# The gateway says itself when it serves; nobody else may speak for it.
Type=notify
NotifyAccess=main
User={user}
WorkingDirectory={directory}
ExecStart={start}
ExecReload={reload}

# 78: another gateway holds the name, or the configuration is wrong.  2: wrong usage.  Neither gets better by
# trying again, and a start that waits for the lock is too slow for the start limit: it would go on for ever.
Restart=on-failure
RestartSec=1
RestartPreventExitStatus={hopeless}
# 75: "start me again" (--restart-mode supervisor --restart-exit-code 75).  130, 143: a third stop.
SuccessExitStatus=75 130 143
RestartForceExitStatus=75

# A stop is told to the gateway alone, which drains; what is left in the end is killed.
KillMode=mixed
# It takes up to {stop:g} s (--stop-timeout, --lame-duck); the rest is a margin of at most 5 s.
TimeoutStopSec={kills_after}
# A start, and a reload as a whole: load, drain, close, start (--backoff at worst before it), --probation.
TimeoutStartSec={starts_within}

# Listening sockets are left here, so that a crash refuses no connection.
FileDescriptorStoreMax={descriptors}
# Killed and started again when its main loop does not move for so long, nor any of its threads while all are busy and
# requests wait: let it be longer than the longest request.
#WatchdogSec=30

[Install]
WantedBy=multi-user.target
"""

SOCKET = """\
# {name}.socket, by `gateway unit systemd-socket`.
#
# Beside {name}.service (`gateway unit systemd` with the same options), which it starts.  systemd holds the
# sockets: connections wait, and none is refused, while the gateway starts, stops or is replaced.
#
#   gateway unit systemd-socket ... > /etc/systemd/system/{name}.socket
#   systemctl daemon-reload && systemctl enable --now {name}.socket
#
# A service that systemd has given up (start limit) takes the socket with it: systemctl reset-failed.

[Unit]
Description=sockets of gateway {name}

[Socket]
{streams}
Backlog=4096
{early}# Of paths: nobody else gets in.
SocketMode=0600
SocketUser={user}

[Install]
WantedBy=sockets.target
"""


AFTER = """\
After=network.target
# One that dies at every start is given up after {tries} tries in a minute.
"""
AFTER_ADDRESS = """\
# It listens on an address of one interface: not before that has it.
Wants=network-online.target
After=network-online.target
# An address that comes later still is waited for: {tries} tries in a minute, one a second, then it is given up.
"""
EARLY = """\
# An address of one interface may be there later than this socket.
FreeBind=true
"""


def write(kind: str, service: Service) -> str:
    """The text of either file."""
    return _socket(service) if kind == "systemd-socket" else _service(service)


def _service(service: Service) -> str:
    python, *words = service.command
    _, *reload = service.ask("restart")
    program = systemd_program(python)
    after, tries = (AFTER_ADDRESS, 30) if service.has_own_address else (AFTER, 5)
    return SERVICE.format(
        name=service.name,
        network=after.format(tries=tries),
        tries=tries,
        user=service.user,
        directory=systemd_path(service.directory),
        start=" ".join([program, *map(systemd_word, words)]),
        reload=" ".join([program, *map(systemd_word, reload)]),
        hopeless=" ".join(map(str, HOPELESS)),
        stop=service.limits.whole_stop,
        kills_after=service.kills_after,
        starts_within=service.starts_within,
        descriptors=max(16, 2 * len(service.binds)),
    )


def _socket(service: Service) -> str:
    streams = [f"ListenStream={_stream(service, *bind)}" for bind in service.binds]
    return SOCKET.format(
        name=service.name,
        user=service.user,
        streams="\n".join(streams),
        early=EARLY if service.has_own_address else "",
    )


def _stream(service: Service, host: str, port: int) -> str:
    """What systemd may listen on: a path or a number, not a name that has to be looked up."""
    if port < 0:
        return systemd_path(os.path.join(service.directory, host.removeprefix("unix:")))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ConfigError(
            f"--bind {host}:{port}: a socket unit takes an address in numbers, no name"
        ) from None
    if not port:
        raise ConfigError(f"--bind {host}:0: a socket unit needs a port that is known")
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
