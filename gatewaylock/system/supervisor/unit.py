"""What systemd says about a unit.  The manager's word, and not the unit file's: drop-ins and defaults count."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping

from ..host import Host

#: seconds that systemctl has to answer; a start never waits for it
PATIENCE = 1.0
PROPERTIES = (
    *("LoadState", "MainPID", "Type", "NotifyAccess", "KillMode", "SendSIGKILL", "User"),
    *("TimeoutStartUSec", "TimeoutStopUSec", "WatchdogUSec", "FileDescriptorStoreMax", "LimitNOFILESoft"),
    *("Restart", "RestartPreventExitStatus", "RestartForceExitStatus", "SuccessExitStatus"),
)
UNITS = {
    "y": 31557600.0, "month": 2629800.0, "w": 604800.0, "d": 86400.0, "h": 3600.0,
    "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6,
}  # fmt: skip
SPAN = re.compile(r"([0-9.]+)(month|min|ms|us|[ywdhs])")


def show(unit: str, *, of_user: bool, host: Host) -> dict[str, str]:
    """Property -> value, as text.  OSError where systemd does not answer, or knows no such unit."""
    from subprocess import DEVNULL, PIPE, TimeoutExpired

    manager = ["--user"] if of_user else []
    wanted = f"--property={','.join(PROPERTIES)}"
    environ = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
    child = host.popen(
        ["systemctl", *manager, "show", "--no-pager", wanted, "--", unit],
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={**environ, "LC_ALL": "C"},
    )
    with child:  # closes its pipes, whoever else has them
        try:
            said, complaint = child.communicate(timeout=PATIENCE)
        except TimeoutExpired:
            child.kill()
            raise OSError(f"systemctl has not answered within {PATIENCE:g} s") from None
    if child.returncode:
        raise OSError(f"systemctl: {complaint.decode('utf-8', 'replace').strip()}")
    found = dict(line.split("=", 1) for line in said.decode("utf-8", "replace").splitlines() if "=" in line)
    if found.get("LoadState") != "loaded":
        raise OSError(f"systemd has no unit {unit} ({found.get('LoadState', 'no answer')})")
    return found


def seconds(span: str) -> float:
    """``1min 30s`` -> 90.0, ``infinity`` -> math.inf.  ValueError for anything else."""
    if span in ("infinity", "0"):
        return math.inf if span == "infinity" else 0.0
    found = SPAN.findall(span)
    if not found or "".join(f"{number}{unit}" for number, unit in found) != span.replace(" ", ""):
        raise ValueError(f"{span!r} is no span of time")
    return sum(float(number) * UNITS[unit] for number, unit in found)


def listens(facts: Mapping[str, str]) -> bool:
    """Whether it hears what the unit's main process says of itself."""
    return facts.get("Type", "").startswith("notify") or facts.get("NotifyAccess", "none") not in ("none", "")


def kills_after(facts: Mapping[str, str]) -> float:
    """Seconds from a stop to a kill, ``math.inf`` where it never kills.  ValueError."""
    if facts.get("SendSIGKILL") == "no" or facts.get("KillMode") == "none":
        return math.inf
    return seconds(facts.get("TimeoutStopUSec", "")) or math.inf
