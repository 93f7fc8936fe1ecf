"""systemd, in a box."""

from __future__ import annotations

from pathlib import Path

from speaking import eventually

from .box import Box, boxed, why_no_box
from .keeper import Keeper
from .service import Service

UNIT = """\
[Unit]
Description=A gateway of the tests
StartLimitBurst=5
StartLimitIntervalSec=10
[Service]
Type={type}
ExecStart={script}
Restart=on-failure
RestartSec=100ms
RestartForceExitStatus=75
SuccessExitStatus=75
RestartPreventExitStatus=78
KillMode=mixed
TimeoutStopSec=20
StandardOutput=append:{log}
StandardError=inherit
"""


class Systemd(Keeper):
    """``Restart=on-failure``; 75 is "start me again", 78 "do not"."""

    name, debian, tools = "systemd", "systemd", ("systemctl",)
    type = "exec"

    @classmethod
    def why_not(cls, bin_dir: Path | None = None) -> str:
        """Why this machine cannot have it; empty where it can."""
        return super().why_not(bin_dir) or why_no_box()

    def __enter__(self) -> Systemd:
        self.box: Box = self._stack.enter_context(boxed(self.work))
        return self

    def add(self, service: Service) -> None:
        """Write its unit."""
        super().add(service)
        text = UNIT.format(type=self.type, script=service.script, log=service.log)
        self.box.unit(f"{service.name}.service", text)

    def start(self, service: Service) -> None:
        """``systemctl start``."""
        self.box.run("systemctl", "start", service.name)

    def stop(self, service: Service) -> None:
        """``systemctl stop``, which waits."""
        self.box.systemctl("stop", service.name)

    def pid(self, service: Service) -> int | None:
        """MainPID, as seen from outside."""
        inside = int(self.box.show(service.name, "MainPID")["MainPID"])
        return self.box.outside(inside) if inside else None

    def rests(self, service: Service) -> bool:
        """SubState "failed", or "dead"; before another start it is "auto-restart"."""
        return self.box.show(service.name, "SubState")["SubState"] in ("failed", "dead")

    def starts(self, service: Service) -> int:
        """NRestarts; each counts for the start limit."""
        return int(self.box.show(service.name, "NRestarts")["NRestarts"])

    def state(self, service: Service) -> str:
        """ActiveState, Result and NRestarts; a reload that is about to end is waited for."""
        eventually(lambda: self.box.show(service.name, "ActiveState")["ActiveState"] != "reloading", 5)
        shown = self.box.show(service.name, "ActiveState", "Result", "NRestarts")
        return f"{shown['ActiveState']} ({shown['Result']}), NRestarts {shown['NRestarts']}"


class SystemdNotify(Systemd):
    """Told by the gateway how it is, and of a new main pid; it keeps the sockets over a crash."""

    name, type = "notify", "notify\nNotifyAccess=main\nFileDescriptorStoreMax=16"
