"""runit, s6 and daemontools: one watcher a service, in a directory of files; and a loop of shell."""

from __future__ import annotations

import re
from pathlib import Path

from speaking import eventually

from .keeper import PATIENCE, Child, Keeper
from .service import Service


class _Directory(Keeper):
    """The family: a directory with ``run`` in it, and ``down`` so that nothing starts by itself."""

    watcher = ""
    finish = ""  #: what follows the end of ``run``, given its exit code as $1

    def directory(self, service: Service) -> Path:
        """Of *service*."""
        return self.work / f"{self.name}-{service.name}"

    def add(self, service: Service) -> None:
        """Make the directory and put the watcher on it."""
        super().add(service)
        folder = self.directory(service)
        folder.mkdir()
        (folder / "down").touch()
        _write(folder / "run", f"#!/bin/sh\nexec {service.script} 2>&1\n")
        if self.finish:
            _write(folder / "finish", f"#!/bin/sh\n{self.finish}\n")
        self._run(self.watcher, folder, log=service.log)
        assert eventually(lambda: self._is_ready(folder), PATIENCE)

    def _is_ready(self, folder: Path) -> bool:
        raise NotImplementedError


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


class Runit(_Directory):
    """``runsv``; 78 takes the service down, where runit itself would start it again each second."""

    name, debian, tools, watcher = "runit", "runit", ("runsv", "sv"), "runsv"
    finish = '[ "$1" != 78 ] || exec sv -w 0 down .'

    def _is_ready(self, folder: Path) -> bool:
        return "down" in self._ask("sv", "status", folder, good=False)

    def start(self, service: Service) -> None:
        """``sv up``."""
        self._ask("sv", "up", self.directory(service))

    def stop(self, service: Service) -> None:
        """``sv down``, and wait for it."""
        self._ask("sv", "-w", "25", "down", self.directory(service))

    def rests(self, service: Service) -> bool:
        """By ``sv status``, which says what is wanted where that is something else."""
        said = self._ask("sv", "status", self.directory(service), good=False)
        return said.startswith("down: ") and "want up" not in said

    def pid(self, service: Service) -> int | None:
        """By ``sv status``."""
        found = re.match(r"run: .*\(pid (\d+)\)", self._ask("sv", "status", self.directory(service)))
        return int(found[1]) if found else None


class S6(_Directory):
    """``s6-supervise``; a finish script that ends with 125 says: do not start it again."""

    name, debian, watcher = "s6", "s6", "s6-supervise"
    tools = ("s6-supervise", "s6-svc", "s6-svstat", "s6-svok")
    finish = '[ "$1" != 78 ] || exit 125'

    def _is_ready(self, folder: Path) -> bool:
        return self._ask("sh", "-c", f"s6-svok {folder} && echo yes", good=False).startswith("yes")

    def start(self, service: Service) -> None:
        """``s6-svc -u``, and wait until it is up."""
        self._ask("s6-svc", "-u", "-wu", "-T", "5000", self.directory(service), good=False)

    def stop(self, service: Service) -> None:
        """``s6-svc -d``, and wait until it is down and its finish script too."""
        self._ask("s6-svc", "-d", "-wD", "-T", "25000", self.directory(service))

    def rests(self, service: Service) -> bool:
        """By ``s6-svstat``."""
        said = self._ask("s6-svstat", "-o", "up,wantedup", self.directory(service))
        return said.split() == ["false", "false"]

    def pid(self, service: Service) -> int | None:
        """By ``s6-svstat``."""
        found = int(self._ask("s6-svstat", "-o", "pid", self.directory(service)))
        return found if found > 0 else None


class Daemontools(_Directory):
    """``supervise``; it has no finish script: what ends with 78 is started again."""

    name, debian, watcher = "daemontools", "daemontools", "supervise"
    tools, insists = ("supervise", "svc", "svstat", "svok"), True

    def _is_ready(self, folder: Path) -> bool:
        return self._ask("sh", "-c", f"svok {folder} && echo yes", good=False).startswith("yes")

    def start(self, service: Service) -> None:
        """``svc -u``."""
        self._ask("svc", "-u", self.directory(service))

    def stop(self, service: Service) -> None:
        """``svc -d``; it waits for nothing, so ask until it is down."""
        self._ask("svc", "-d", self.directory(service))
        assert eventually(lambda: self.pid(service) is None, PATIENCE), service.text()

    def pid(self, service: Service) -> int | None:
        """By ``svstat``."""
        found = re.search(r": up \(pid (\d+)\)", self._ask("svstat", self.directory(service)))
        return int(found[1]) if found else None


class ShellLoop(Child):
    """The loop that people write: again until it ends well, but not where that is hopeless."""

    name, tools = "shell loop", ("sh",)

    def _words(self, service: Service) -> list[str]:
        loop = f"until {service.script}; do [ $? != 78 ] || exit 78; sleep 0.2; done"
        return ["sh", "-c", loop]
