"""An adapter for a side-by-side harness, to be put among its other adapters: our three restarts.

Not run by itself.  The harness gives ``System`` (a port, a working directory, an application ``app`` on
the path) and loads and restarts every server alike.  ``GATEWAYLOCK_CHECKOUT`` names a checkout to measure;
without it, what is installed.
"""

from __future__ import annotations

import json
import os
import signal

from gwbench.system import APPS, PY, System


class GatewaylockExec(System):
    """Drains, then the process becomes the next life."""

    name = "gatewaylock-exec"
    how = "kill -USR1 (--allow-sigusr1), exec: the pid stays"
    mode = "exec"
    dist = "gatewaylock"
    new_pids = False
    in_stop = True

    def command(self) -> list[str]:
        """16 threads, as the other servers have."""
        where = ["--bind", f"127.0.0.1:{self.port}", "--run-dir", self._run_dir()]
        how = ["--threads", "16", "--allow-sigusr1", "--restart-mode", self.mode]
        return [PY, "-m", "gatewaylock", "run", "app:application", *where, *how]

    def env(self) -> dict[str, str]:
        """The application, and the checkout when one is named."""
        paths = [os.environ.get("GATEWAYLOCK_CHECKOUT", ""), APPS]
        return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}

    def version(self) -> str:
        """Of the checkout there is no metadata."""
        if os.environ.get("GATEWAYLOCK_CHECKOUT"):
            return "gatewaylock (checkout)"
        return str(super().version())

    def main_pid(self) -> int:
        """Whoever holds the lock."""
        with open(os.path.join(self._run_dir(), "gateway.lock")) as lock:
            return int(json.load(lock)["pid"])

    def restart(self) -> None:
        """Asks; the harness watches what comes of it."""
        self.signal(signal.SIGUSR1)

    def _run_dir(self) -> str:
        return os.path.join(self.workdir, "run")


class GatewaylockSpawn(GatewaylockExec):
    """Drains while the successor is warm, then hands over."""

    name = "gatewaylock-spawn"
    how = "kill -USR1, spawn: a fresh pid, warm before anything is closed"
    mode = "spawn"
    new_pids = True


class GatewaylockOverlap(GatewaylockSpawn):
    """Hands over first, then drains."""

    name = "gatewaylock-overlap"
    how = "kill -USR1, overlap: the successor serves before anything is closed"
    mode = "overlap"


SYSTEMS = [GatewaylockExec, GatewaylockSpawn, GatewaylockOverlap]
