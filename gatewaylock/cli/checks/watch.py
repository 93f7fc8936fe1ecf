"""Who supervises, and whether a stop ends before its kill."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ...core.plan import Mode
from ...system.supervisor import proofs
from ...system.supervisor import unit as systemd
from ...system.supervisor.asking import Patience, fit, told_by_operator
from ...system.supervisor.found import Found
from .case import Case


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


def kill_timeout(case: Case) -> Iterator[tuple[str, str]]:
    """Whether a stop ends before its supervisor kills."""
    found = case.found()
    told = told_by_operator(found.seen.environ if case.pid else case.environ, case.told)
    try:
        asked, extends = _asked(case, found)
    except (OSError, ValueError) as error:
        asked, extends = found.supervisor.patience, found.extends
        if told is None:
            yield "warn", f"{error}: {asked.seconds:g} s are assumed"
    patience = told or asked
    _, state, text = fit(case.limits, patience, extends=extends)
    whole = f"a stop may take {case.limits.whole_stop:g} s"
    if text:
        yield state, text
    elif patience.seconds == math.inf:
        yield "ok", f"{whole}; nothing kills it"
    else:
        yield "ok", f"{whole} of {patience.seconds:g} s ({patience.setting})"


def _asked(case: Case, found: Found) -> tuple[Patience, bool]:
    """What a unit says that does not run yet, else what the supervisor says; whether it can be asked for more."""
    if case.unit:
        timeout = Patience(systemd.kills_after(case.of_unit), f"TimeoutStopSec= of {case.unit}")
        return timeout, systemd.listens(case.of_unit)
    row = found.supervisor
    return row.ask(found.seen, case.host) if row.ask else row.patience, found.extends
