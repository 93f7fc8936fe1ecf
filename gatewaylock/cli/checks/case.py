"""What all checks look at: the options, and the gateway that runs, if one does."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ...control.client import talk
from ...core.deadline import Deadline
from ...core.errors import ConfigError, GatewayError, NotRunningError
from ...core.limits import Limits
from ...core.plan import Mode
from ...system import process
from ...system.host import Host
from ...system.rundir import RunDir, check_name, default_run_dir
from ...system.supervisor import unit as systemd
from ...system.supervisor.found import Found, detect
from .. import run

#: seconds that a gateway has to answer
PATIENCE = 5.0


class Finding(NamedTuple):
    """One line."""

    check: str
    state: str  #: "ok", "warn" or "fail"
    text: str


@dataclass(frozen=True)
class Case:
    """One gateway, as the options describe it and as it is."""

    name: str
    run_dir: RunDir
    limits: Limits
    probation: float
    mode: Mode
    exit_code: int
    #: where it is to listen; empty where nobody said so and one runs: then it is where that one does
    binds: tuple[tuple[str, int], ...]
    threads: int
    unit: str
    told: float | None
    environ: Mapping[str, str]
    host: Host
    #: what the running one says of itself; empty where none does
    status: Mapping[str, Any]
    #: why the running one says nothing; empty where none runs
    silence: str

    @classmethod
    def of(cls, args: argparse.Namespace, environ: Mapping[str, str], patience: float = PATIENCE) -> Case:
        """Asks the gateway of this name once.  ConfigError for options that no gateway would take."""
        where = RunDir(os.path.abspath(args.run_dir or default_run_dir(environ)))
        status, silence = _ask(where, check_name(args.name), patience)
        return cls(
            name=args.name,
            run_dir=where,
            limits=run.limits(args),
            probation=args.probation,
            mode=_mode(args.restart_mode, environ),
            exit_code=args.restart_exit_code,
            binds=tuple(args.bind) if args.told_where or not status else (),
            threads=args.threads,
            unit=args.unit,
            told=args.supervisor_timeout,
            environ=environ,
            host=Host(),
            status=status,
            silence=silence,
        )

    @property
    def pid(self) -> int:
        """Of the running gateway; 0 where none answers."""
        return int(self.status.get("pid", 0))

    @cached_property
    def of_unit(self) -> Mapping[str, str]:
        """What systemd says of the unit that was named, or that the gateway is in; empty where there is neither.

        A unit that was named may be of the system's manager or of the user's own: who asks for his own first is
        not root.  OSError where neither knows it.
        """
        found = self.found()
        watched = found.supervisor.name == "systemd"
        if not self.unit:
            seen = found.seen
            return (
                systemd.show(seen.unit, of_user=seen.of_user, host=self.host) if watched and seen.unit else {}
            )
        ours = found.seen.of_user if watched else os.geteuid() != 0
        why = []
        for of_user in (ours, not ours):
            try:
                return systemd.show(self.unit, of_user=of_user, host=self.host)
            except OSError as error:
                why.append(f"{error} (of the {'user' if of_user else 'system'})")
        raise OSError("; ".join(why))

    def found(self) -> Found:
        """Who supervises the running gateway; where none runs, what would, were it started like this command."""
        return detect(process.environment(self.pid), self.pid) if self.pid else detect(self.environ)


def _mode(wanted: str, environ: Mapping[str, str]) -> Mode:
    if environ.get("GATEWAY_NO_RESPAWN") == "1":
        return Mode.IN_PROCESS
    try:
        return Mode("exec" if wanted == "auto" else wanted)
    except ValueError:
        raise ConfigError(f"restart mode {wanted!r} is none: see gateway run --help") from None


def _ask(where: RunDir, name: str, patience: float) -> tuple[Mapping[str, Any], str]:
    try:
        with closing(talk(where.socket_path(name), name, Deadline.after(patience))) as talking:
            answer = talking.ask("status")
    except NotRunningError:
        return {}, ""
    except TimeoutError:
        return {}, f"no answer within {patience:g} s"
    except GatewayError as error:
        return {}, str(error)
    return (answer["status"], "") if answer.get("ok") else ({}, str(answer.get("text")))
