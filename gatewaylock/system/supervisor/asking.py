"""How long a supervisor really waits after a stop before it kills, where it can be asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from ...core.errors import ConfigError
from ...core.limits import WEEK, Limits
from ..host import Host
from . import unit
from .evidence import Evidence


class Patience(NamedTuple):
    """How long somebody waits after having asked for a stop."""

    #: math.inf: it never kills
    seconds: float
    #: what says so: what to change
    setting: str
    #: nobody said so: it is what this supervisor does unless it is told otherwise
    assumed: bool = False


def ask_systemd(seen: Evidence, host: Host) -> Patience:
    """The manager's word on our unit.  OSError, ValueError where there is none."""
    if not seen.unit:
        raise OSError(f"/proc/{seen.pid}/cgroup names no unit")
    facts = unit.show(seen.unit, of_user=seen.of_user, host=host)
    return Patience(unit.kills_after(facts), f"TimeoutStopSec= of {seen.unit}")


def ask_s6(seen: Evidence, host: Host) -> Patience:
    """``timeout-kill`` in the service directory, where s6-supervise lives; milliseconds."""
    path = f"/proc/{seen.parent}/cwd/timeout-kill"
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return Patience(int(file.read(32)) / 1000 or math.inf, "timeout-kill in the service directory")
    except FileNotFoundError:
        return Patience(math.inf, "timeout-kill in the service directory")


def told_by_operator(environ: Mapping[str, str], option: float | None) -> Patience | None:
    """What the option says, or GATEWAY_SUPERVISOR_TIMEOUT; None where neither does.  ConfigError.

    Seconds; ``infinity``: it never kills.
    """
    name, seconds = "--supervisor-timeout", option
    if option is None and (text := environ.get("GATEWAY_SUPERVISOR_TIMEOUT")):
        name = "GATEWAY_SUPERVISOR_TIMEOUT"
        try:
            seconds = float(text)
        except ValueError:
            raise ConfigError(f"{name} {text!r}: seconds are needed, or infinity") from None
    if seconds is None:
        return None
    if not (isinstance(seconds, (int, float)) and (0 < seconds <= WEEK or seconds == math.inf)):
        raise ConfigError(f"{name} {seconds!r}: use more than 0 s, up to a week, or infinity")
    return Patience(seconds, name)


class Fit(NamedTuple):
    """What a supervisor's patience leaves of the budgets."""

    limits: Limits
    #: "ok"; "warn": what does not fit is had while work ends; "fail": it is cut
    state: str = "ok"
    #: what does not fit, and what to change, in numbers; empty where all fits
    text: str = ""


def fit(wanted: Limits, patience: Patience, *, extends: bool) -> Fit:
    """*wanted* as it is in force under *patience*; *extends*: more time can be asked for, while work ends."""
    cut = wanted.capped(patience.seconds)
    if cut == wanted:
        return Fit(wanted)
    least = f"let it be killed after {math.ceil(wanted.kill_timeout)} s"
    killed = f"it is killed {patience.seconds:g} s after it was asked to stop ({patience.setting})"
    if extends and cut.stop < wanted.stop:
        lame = " and no lame duck" if wanted.lame_duck else ""
        text = (
            f"a stop may take {wanted.whole_stop:g} s, and {killed}: more is asked for while its work gets less,"
            f" and without progress it is over after {cut.whole_stop:g} s{lame}; or {least}"
        )
        return Fit(replace(cut, stop=wanted.stop), "fail" if lame else "warn", text)
    say_so = " and tell it by --supervisor-timeout" if patience.assumed else ""
    lame = f" with {cut.lame_duck:g} s of lame duck" if wanted.lame_duck else ""
    text = (
        f"a stop may take {wanted.whole_stop:g} s, but {killed}: cut to {cut.whole_stop:g} s{lame};"
        f" {least}{say_so}, or make --stop-timeout and --lame-duck {cut.whole_stop:g} s together"
    )
    return Fit(cut, "fail", text)
