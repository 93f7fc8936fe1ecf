"""What can be seen of a process and of whoever started it.  Facts only: the table judges them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import process

#: a service among cgroups; systemd puts a "_" before names that the kernel could take for its own files
SERVICE = re.compile(r"/_?([A-Za-z0-9:.\\@-][A-Za-z0-9:_.\\@-]*\.service)(?=/|$)")


@dataclass(frozen=True)
class Evidence:
    """A process, as its supervisor would know it.  What cannot be seen is empty."""

    pid: int
    environ: Mapping[str, str] = field(repr=False)
    linux: bool = True
    parent: int = 0
    #: what the parent is called: by the kernel, and by the script that an interpreter runs
    names: frozenset[str] = frozenset()
    #: it shares the parent's process group, so the parent is no shell with job control
    grouped: bool = False
    #: a terminal listens to it
    foreground: bool = False
    #: the name of pid 1
    init: str = ""
    #: the systemd unit whose cgroup it is in
    unit: str = ""
    #: that unit belongs to a user's own manager
    of_user: bool = False

    @classmethod
    def of(cls, pid: int, environ: Mapping[str, str] | None = None) -> Evidence:
        """What there is to see of *pid* now; *environ* where it is known better than the kernel tells."""
        environ = process.environment(pid) if environ is None else environ
        kin = process.family(pid)
        if kin is None:
            return cls(
                pid,
                environ,
                sys.platform.startswith("linux"),
                foreground=_in_foreground(),
                parent=os.getppid(),
            )
        above = process.family(kin.parent)
        unit, of_user = unit_of(pid)
        return cls(
            pid,
            environ,
            parent=kin.parent,
            names=_names(kin.parent),
            grouped=above is not None and above.group == kin.group,
            foreground=kin.foreground,
            init=process.title(1),
            unit=unit,
            of_user=of_user,
        )


def unit_of(pid: int) -> tuple[str, bool]:
    """(the systemd service that *pid* belongs to, whether a user's own manager runs it); ("", False) for none.

    By its cgroup, which no variable can fake.  Both layouts are read: one hierarchy, or one a controller.
    """
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return "", False
    for line in lines:
        _, _, rest = line.partition(":")
        controller, _, path = rest.partition(":")
        if controller in ("", "name=systemd") and (found := unit_in(path))[0]:
            return found
    return "", False


def unit_in(path: str) -> tuple[str, bool]:
    """The same for a path of cgroups."""
    services = SERVICE.findall(path)
    managers = [name for name in services if name.startswith("user@")]  # of a user's units: none of ours
    ours = [name for name in services if name not in managers]
    return (ours[-1], bool(managers)) if ours else ("", False)


def _names(pid: int) -> frozenset[str]:
    """A program of Python is known by its script as well: ``python3 /usr/bin/supervisord``, ``python -m circus``."""
    title, words = process.title(pid), process.words(pid)
    names = {title} if title else set()
    if title.startswith("python") and len(words) > 1:
        names.add(os.path.basename(words[1]))
        if words[1] == "-m" and len(words) > 2:
            names.add(words[2].rpartition(".")[2])
    return frozenset(names)


def _in_foreground() -> bool:
    """Where /proc does not tell (not Linux), of ourselves."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
