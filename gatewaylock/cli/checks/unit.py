"""Whether what systemd is set to do with a gateway suits it: a line for each setting that does not."""

from __future__ import annotations

import math
import os
import pwd
from collections.abc import Callable, Iterator, Mapping

from ...core.plan import Mode
from ...system import process
from ...system.supervisor import unit as systemd
from .case import Case

Faults = Iterator[tuple[str, str]]

#: policies under which a unit of systemd is started again after a failure
AGAIN = ("always", "on-failure")
#: those of Type= under which systemd waits for READY=1
TOLD = ("notify", "notify-reload")
#: those under which it waits for something that a gateway never does
FOREIGN = {"forking": "a fork", "oneshot": "its end", "dbus": "a name on the bus"}
#: seconds: a garbage collection, a slow disk or an exec takes as long
RESTLESS = 1.0


def unit(case: Case) -> Faults:
    """What systemd is set to do with it."""
    found = case.found()
    watched = found.supervisor.name == "systemd"
    name = case.unit or (found.seen.unit if watched else "")
    if not name:
        yield "ok", "no unit of systemd"
        return
    facts = case.of_unit
    faults = [fault for look in LOOKS for fault in look(facts, case)]
    shown = ", ".join(f"{key}={facts.get(key)}" for key in ("Type", "KillMode", "Restart", "TimeoutStopUSec"))
    if not faults:
        yield "ok", f"{name}: {shown}"
    yield from ((state, f"{name}: {text}") for state, text in faults)


def ends(facts: Mapping[str, str], case: Case) -> Faults:
    """What becomes of it, and of its children, when it ends."""
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


def talk(facts: Mapping[str, str], case: Case) -> Faults:
    """Whether systemd hears what a gateway says of itself."""
    kind, access = facts.get("Type", ""), facts.get("NotifyAccess", "")
    if kind in FOREIGN:
        yield (
            "fail",
            f"under Type={kind} a start is over with {FOREIGN[kind]}, which never comes: Type=notify",
        )
    elif access == "none":
        state, what = (
            ("fail", "it is never ready") if kind in TOLD else ("warn", "a start is over before it serves")
        )
        yield state, f"systemd hears nothing of it, and {what}: Type=notify and NotifyAccess=main"
        if case.mode in (Mode.SPAWN, Mode.OVERLAP):
            yield "warn", f"--restart-mode {case.mode.value} becomes exec: no word of a fresh pid is heard"
    silence = _seconds(facts, "WatchdogUSec")
    if 0 < silence < RESTLESS:
        yield (
            "fail",
            f"it is killed when its main loop does not move for {silence:g} s, which a slow disk may take: "
            "WatchdogSec=30, and longer than the longest request",
        )


def times(facts: Mapping[str, str], case: Case) -> Faults:
    """Whether a start and a reload end in time."""
    given, limits = _seconds(facts, "TimeoutStartUSec") or math.inf, case.limits
    start, reload = limits.lock + limits.first_start, limits.whole_restart(case.probation)
    change = f"TimeoutStartSec={math.ceil(max(start, reload) + 5)}"
    if start > given and facts.get("Type") in TOLD:
        parts = "--lock-timeout and --start-timeout" if limits.first_start else "--lock-timeout"
        yield "fail", f"a start may take {start:g} s ({parts}) and is killed after {given:g} s: {change}"
    if reload > given:
        yield (
            "warn",
            f"a reload may take {reload:g} s (load, drain, close, back off, start, probation), and systemctl "
            f"gives it up after {given:g} s: {change}",
        )


def store(facts: Mapping[str, str], case: Case) -> Faults:
    """Whether the listening sockets outlive a crash."""
    wanted = sum(not host.startswith("fd:") for host, _ in case.binds)
    room = facts.get("FileDescriptorStoreMax", "")
    if room.isdecimal() and int(room) < wanted:
        change = f"FileDescriptorStoreMax={max(16, 2 * wanted)}"
        yield (
            "warn",
            f"a crash refuses connections: systemd keeps {room} of {wanted} listening sockets: {change}",
        )


def who(facts: Mapping[str, str], case: Case) -> Faults:
    """Whether the process, and its user, are those that are looked at here."""
    user, uid = facts.get("User", ""), os.geteuid()
    if user and not case.pid and _uid(user) != uid:
        yield "warn", f"it runs as User={user}, and what else is said here is of uid {uid}: ask as {user}"
    main = int(facts.get("MainPID", "0") or 0)
    if case.pid and main and main != case.pid and not case.unit:
        yield (
            "fail",
            f"its main process is pid {main} ({process.title(main)}), and the gateway is pid {case.pid}",
        )


LOOKS: tuple[Callable[[Mapping[str, str], Case], Faults], ...] = (ends, talk, times, store, who)


def _seconds(facts: Mapping[str, str], key: str) -> float:
    """0 where systemd does not say."""
    try:
        return systemd.seconds(facts.get(key, "0"))
    except ValueError:
        return 0.0


def _uid(user: str) -> int:
    """-1 for one that is not known here."""
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError:
        return -1


def _comes_back(facts: Mapping[str, str], code: int) -> bool:
    """Whether systemd starts the unit again after this exit code."""
    if str(code) in facts.get("RestartPreventExitStatus", "").split():
        return False
    if str(code) in facts.get("RestartForceExitStatus", "").split():
        return True
    is_success = code == 0 or str(code) in facts.get("SuccessExitStatus", "").split()
    return facts.get("Restart") in ("always", "on-success" if is_success else "on-failure")
