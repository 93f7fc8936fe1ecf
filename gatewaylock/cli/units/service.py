"""What there is to write, whatever the format."""

from __future__ import annotations

import argparse
import math
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...core.limits import Limits
from ...system.rundir import check_name, default_run_dir
from .. import run
from .quoting import plain, sh

#: inside a container nobody else has a /tmp, and whoever runs there may write to it
CONTAINED = "/tmp/gatewaylock"
#: seconds: no supervisor is told to be less patient than this, for a machine may be slow
COMFORT = 10
#: a run that will never be right: usage, lock held by another, configuration.  Starting again is of no use.
HOPELESS = (2, 78)


@dataclass(frozen=True)
class Service:
    """One ``gateway run``, as a supervisor has to start it."""

    name: str
    python: str
    #: the options, behind what the environment of this shell would have added to them
    words: tuple[str, ...]
    directory: str
    user: str
    #: on this machine, absolute
    run_dir: str
    #: the one that the options name, as they do; empty where they do not
    given_run_dir: str
    #: (host, port), or ("unix:PATH", -1)
    binds: tuple[tuple[str, int], ...]
    limits: Limits
    #: seconds that a successor has to live before a restart is over (``overlap``)
    probation: float = 0.0

    @classmethod
    def of(
        cls, words: Sequence[str], args: argparse.Namespace, environ: Mapping[str, str], python: str, cwd: str
    ) -> Service:
        """From the words, as they are and as they were understood.  ConfigError for what no file can hold."""
        found = cls(
            name=check_name(args.name),
            python=python,
            words=(*_from_environment(args, environ, words), *words),
            directory=cwd,
            user=_user(),
            run_dir=os.path.join(cwd, args.run_dir or default_run_dir(environ)),
            given_run_dir=args.run_dir or "",
            binds=tuple(args.bind),
            limits=run.limits(args),
            probation=args.probation,
        )
        for word in (*found.words, python, cwd, found.run_dir, found.user):
            plain(word)
        return found

    @property
    def command(self) -> tuple[str, ...]:
        """What to start on this machine: with the run directory, whatever HOME is there."""
        where = () if self.given_run_dir else ("--run-dir", self.run_dir)
        return (self.python, "-m", "gatewaylock", "run", *where, *self.words)

    @property
    def contained(self) -> tuple[str, ...]:
        """What to start in a container."""
        where = () if self.given_run_dir else ("--run-dir", CONTAINED)
        return ("gateway", "run", *where, *self.words)

    def ask(self, verb: str) -> tuple[str, ...]:
        """How another verb speaks to it on this machine."""
        return (self.python, "-m", "gatewaylock", verb, "--name", self.name, "--run-dir", self.run_dir)

    @property
    def restart(self) -> str:
        """The same for a restart, as a person would type it."""
        return sh(["gateway", *self.ask("restart")[3:]])

    def ask_inside(self, verb: str) -> tuple[str, ...]:
        """How another verb speaks to it in its container."""
        return ("gateway", verb, "--name", self.name, "--run-dir", self.given_run_dir or CONTAINED)

    @property
    def kills_after(self) -> int:
        """Whole seconds that a supervisor has to wait for a stop, so that we always end first."""
        return max(COMFORT, math.ceil(self.limits.kill_timeout))

    @property
    def starts_within(self) -> int:
        """Whole seconds within which every start is over, also the one that a reload waits for."""
        limits = self.limits
        return math.ceil(max(limits.lock + limits.first_start, limits.whole_restart(self.probation)) + 5)

    @property
    def has_own_address(self) -> bool:
        """Whether it listens where only one interface is, which a boot may reach before the network does."""
        return any(port >= 0 and not _is_everywhere(host) for host, port in self.binds)

    @property
    def ports(self) -> tuple[int, ...]:
        """Those that can be reached from another machine."""
        return tuple(port for host, port in self.binds if port > 0 and not _is_loopback(host))


def _from_environment(
    args: argparse.Namespace, environ: Mapping[str, str], words: Sequence[str]
) -> list[str]:
    """What variables of this shell say and no option does: a service does not inherit them."""
    given = {word.split("=")[0] for word in words}
    mode = "in-process" if environ.get("GATEWAY_NO_RESPAWN") == "1" else environ.get("GATEWAY_RESTART_MODE")
    found = {"--name": environ.get("GATEWAY_NAME"), "--restart-mode": mode}
    added = [w for option, value in found.items() if value and option not in given for w in (option, value)]
    if environ.get("GATEWAY_BIND") and "--bind" not in given:
        added += [word for bind in args.bind for word in ("--bind", _shown(*bind))]
    return added


def _shown(host: str, port: int) -> str:
    if port < 0 or host.startswith("fd:"):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_everywhere(host: str) -> bool:
    """There from the first moment of a boot; ``fd:`` is systemd's to see to."""
    return host in ("0.0.0.0", "::") or host.startswith("fd:") or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _user() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
