"""Who supervises, whether its unit suits a gateway, and whether a stop ends before its kill."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ...core.plan import Mode
from ...system import process
from ...system.supervisor import proofs
from ...system.supervisor import unit as systemd
from ...system.supervisor.asking import Patience, told_by_operator, too_long
from ...system.supervisor.found import Found
from .case import Case

#: policies under which a unit of systemd is started again after a failure
AGAIN = ("always", "on-failure")


def supervisor(case: Case) -> Iterator[tuple[str, str]]:
    """Who watches, and what becomes of the restart mode."""
    found = case.found()
    running = f"of pid {case.pid}" if case.pid else "if it were started from here"
    yield "ok", f"{running}: {found}"
    if why := found.why_exec(case.mode):
        yield "warn", f"--restart-mode {case.mode.value} becomes exec: {why}"
    elif case.mode is Mode.SUPERVISOR:
        again = f"{found.supervisor.name} starts again after: {found.supervisor.again}"
        yield "ok", f"a restart leaves with exit code {case.exit_code}; {again}"
    seen = found.seen
    if found.supervisor.name == "systemd" and proofs.is_wrapped(seen):
        yield (
            "fail",
            f"a stop is told to pid {seen.parent} ({' '.join(sorted(seen.names))}) and not to the gateway: "
            "start the gateway itself, or put exec before it",
        )
    if seen.parent == 1 and seen.names & proofs.SHELLS:
        yield "fail", "a shell that is pid 1 passes no stop on: put exec before the gateway"


def unit(case: Case) -> Iterator[tuple[str, str]]:
    """What systemd is set to do with it."""
    found = case.found()
    watched = found.supervisor.name == "systemd"
    name = case.unit or (found.seen.unit if watched else "")
    if not name:
        yield "ok", "no unit of systemd"
        return
    facts = systemd.show(name, of_user=watched and found.seen.of_user, host=case.host)
    faults = list(unit_faults(facts, case))
    shown = ", ".join(f"{key}={facts.get(key)}" for key in ("Type", "KillMode", "Restart", "TimeoutStopUSec"))
    if not faults:
        yield "ok", f"{name}: {shown}"
    yield from ((state, f"{name}: {text}") for state, text in faults)


def unit_faults(facts: Mapping[str, str], case: Case) -> Iterator[tuple[str, str]]:
    """What in the properties of a unit does not suit a gateway."""
    restart, kill_mode = facts.get("Restart", ""), facts.get("KillMode", "")
    prevented = facts.get("RestartPreventExitStatus", "").split()
    if kill_mode == "control-group":
        yield "warn", "its children get the stop when it does, under work that still drains: KillMode=mixed"
    elif kill_mode != "mixed":
        yield "warn", f"its children outlive it under KillMode={kill_mode}: KillMode=mixed"
    if restart == "no":
        yield "warn", "nobody starts it again after a crash: Restart=on-failure"
    if restart in AGAIN and "78" not in prevented:
        yield (
            "fail",
            "a second one, or a wrong configuration, is started for ever: RestartPreventExitStatus=78",
        )
    if case.mode is Mode.SUPERVISOR and not _comes_back(facts, case.exit_code):
        change = "--restart-exit-code 75 and RestartForceExitStatus=75"
        yield (
            "fail",
            f"no restart comes back from exit code {case.exit_code} under Restart={restart}: {change}",
        )
    main = int(facts.get("MainPID", "0") or 0)
    if case.pid and main and main != case.pid and not case.unit:
        yield (
            "fail",
            f"its main process is pid {main} ({process.title(main)}), and the gateway is pid {case.pid}",
        )


def kill_timeout(case: Case) -> Iterator[tuple[str, str]]:
    """Whether a stop ends before its supervisor kills."""
    found = case.found()
    try:
        patience = _patience(case, found)
    except (OSError, ValueError) as error:
        patience = found.supervisor.patience
        yield "warn", f"{error}: {patience.seconds:g} s are assumed"
    whole = f"a stop may take {case.limits.whole_stop:g} s"
    if text := too_long(case.limits, patience):
        yield "fail", text
    elif patience.seconds == math.inf:
        yield "ok", f"{whole}; nothing kills it"
    else:
        yield "ok", f"{whole} of {patience.seconds:g} s ({patience.setting})"


def _patience(case: Case, found: Found) -> Patience:
    """What was told, else what a unit says that does not run yet, else what the supervisor says."""
    told = told_by_operator(found.seen.environ if case.pid else case.environ, case.told)
    if told:
        return told
    if case.unit:
        facts = systemd.show(case.unit, of_user=False, host=case.host)
        return Patience(systemd.kills_after(facts), f"TimeoutStopSec= of {case.unit}")
    row = found.supervisor
    return row.ask(found.seen, case.host) if row.ask else row.patience


def _comes_back(facts: Mapping[str, str], code: int) -> bool:
    """Whether systemd starts the unit again after this exit code."""
    if str(code) in facts.get("RestartPreventExitStatus", "").split():
        return False
    if str(code) in facts.get("RestartForceExitStatus", "").split():
        return True
    is_success = code == 0 or str(code) in facts.get("SuccessExitStatus", "").split()
    return facts.get("Restart") in ("always", "on-success" if is_success else "on-failure")
