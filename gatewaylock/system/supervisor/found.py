"""The supervisor of one process: proved, or named by the operator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ...core.errors import ConfigError
from ...core.plan import Mode
from .evidence import Evidence
from .table import NAMES, NOT_LINUX, TABLE, Supervisor

FRESH = (Mode.SPAWN, Mode.OVERLAP)


@dataclass(frozen=True)
class Found:
    """The row, what proves it, and what was seen."""

    supervisor: Supervisor
    proof: str
    seen: Evidence

    def why_exec(self, mode: Mode) -> str:
        """Why a restart in *mode* becomes ``exec`` here, for people; empty where it does not."""
        if mode in FRESH:
            return str((None if self.seen.linux else NOT_LINUX) or self.supervisor.stays(self.seen) or "")
        if mode is Mode.SUPERVISOR and self.supervisor.deserted:
            return f"{self.proof}: nobody would start it again"
        return ""

    @property
    def extends(self) -> bool:
        """Whether it can be asked for more time, by whom it listens to."""
        if self.supervisor.name != "systemd":
            return False
        from ..notify import address  # only under systemd

        return bool(address(self.seen.environ, self.seen.pid))

    def __str__(self) -> str:
        return f"{self.supervisor.name}: {self.proof}"


def detect(environ: Mapping[str, str], pid: int | None = None) -> Found:
    """Who watches us; or *pid*, started with *environ*.

    GATEWAY_SUPERVISOR in *environ* is believed.  ConfigError for a name in it that no row has.
    """
    seen = Evidence.of(os.getpid() if pid is None else pid, environ)
    if told := environ.get("GATEWAY_SUPERVISOR"):
        return Found(_named(told), "GATEWAY_SUPERVISOR", seen)
    return next(Found(row, proof, seen) for row in TABLE if (proof := row.proof(seen)))


def _named(name: str) -> Supervisor:
    for row in TABLE:
        if row.name == name:
            return row
    raise ConfigError(f"GATEWAY_SUPERVISOR {name!r}: choose one of {', '.join(NAMES)}")
