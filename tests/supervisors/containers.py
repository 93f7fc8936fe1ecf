"""The inits of containers, and a gateway that is pid 1 itself, in pid namespaces without an engine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import ClassVar

from speaking import eventually

from .keeper import PATIENCE, Child
from .service import Service, children

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@cache
def why_no_container() -> str:
    """Why there can be no pid namespace here; empty where there can."""
    if not shutil.which("unshare"):
        return "unshare is not installed"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True)
    return f"pid namespaces: {tried.stderr.strip()}" if tried.returncode else ""


class Container(Child):
    """``init`` is pid 1 of a pid namespace, and the gateway its child.  Nobody restarts a container here."""

    init: ClassVar[tuple[str, ...]]
    revives, end_by = False, signal.SIGKILL  # unshare ignores SIGTERM, and kills its child when it is killed

    @classmethod
    def why_not(cls, bin_dir: Path | None = None) -> str:
        """Why this machine cannot have it; empty where it can."""
        return super().why_not(bin_dir) or why_no_container()

    def _words(self, service: Service) -> list[str]:
        return [*UNSHARE, *self.init, str(service.script)]

    def first(self, service: Service) -> int | None:
        """The pid outside of its pid 1."""
        return super().pid(service)

    def pid(self, service: Service) -> int | None:
        """The child of its pid 1."""
        first = self.first(service)
        return None if first is None else next(iter(children(first)), None)

    def stop(self, service: Service) -> None:
        """What an engine does: SIGTERM to pid 1, and SIGKILL when the patience is over."""
        first = self.first(service)
        if first is not None:
            with suppress(ProcessLookupError):
                os.kill(first, signal.SIGTERM)
        assert eventually(lambda: self.over(service) is not None, PATIENCE), service.text()


class Tini(Container):
    """Docker's ``--init``."""

    name, debian, tools, init = "tini", "tini", ("tini",), ("tini", "--")


class DumbInit(Container):
    """It puts its child into a session of its own and signals all of that."""

    name, debian, tools, init = "dumb-init", "dumb-init", ("dumb-init",), ("dumb-init", "--")


class Catatonit(Container):
    """Podman's ``--init``."""

    name, debian, tools, init = "catatonit", "catatonit", ("catatonit",), ("catatonit", "--")


class PidOne(Container):
    """No init: the gateway is pid 1."""

    name, tools, init = "pid 1", (), ()

    def pid(self, service: Service) -> int | None:
        """Pid 1 itself."""
        return self.first(service)
