"""Who watches us: each row of the table, what proves it, and what does not."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gatewaylock.core.errors import ConfigError
from gatewaylock.core.limits import Limits
from gatewaylock.core.plan import Mode
from gatewaylock.system.host import Host
from gatewaylock.system.supervisor import evidence, unit
from gatewaylock.system.supervisor.asking import Patience, ask_s6, ask_systemd, fit, told_by_operator
from gatewaylock.system.supervisor.evidence import Evidence
from gatewaylock.system.supervisor.found import Found, detect
from gatewaylock.system.supervisor.table import NAMES, REASONS, TABLE

PLAIN = Evidence(4711, {}, parent=99, names=frozenset(("python3",)), init="systemd")
OLD_SYSTEMD = {"INVOCATION_ID": "1", "NOTIFY_SOCKET": "/run/systemd/notify"}
#: what a shell below any service, container or terminal may have inherited
INHERITED = {
    **OLD_SYSTEMD,
    "SYSTEMD_EXEC_PID": "1234",
    "JOURNAL_STREAM": "8:1",
    "SUPERVISOR_ENABLED": "1",
    "XPC_SERVICE_NAME": "application.com.apple.Terminal",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "container": "docker",
}


def child_of(*names: str, **more: object) -> Evidence:
    return replace(PLAIN, names=frozenset(names), **more)  # type: ignore[arg-type]


SEEN = {
    "systemd, our pid": ("systemd", replace(PLAIN, environ={"SYSTEMD_EXEC_PID": "4711"})),
    "systemd, a wrapper": ("systemd", child_of("sh", environ={"SYSTEMD_EXEC_PID": "99"}, grouped=True)),
    "systemd before 248": ("systemd", child_of("systemd", environ=OLD_SYSTEMD, unit="bot.service")),
    "an orphan of a session": ("none", child_of("systemd", environ=OLD_SYSTEMD)),
    "an orphan of a service": ("none", child_of("systemd", environ=INHERITED, unit="cron.service")),
    "a terminal that is a service": (
        "terminal",
        replace(PLAIN, environ={"SYSTEMD_EXEC_PID": "99"}, foreground=True),
    ),
    "launchd": ("launchd", replace(PLAIN, linux=False, parent=1, environ={"XPC_SERVICE_NAME": "org.bot"})),
    "an orphan on macOS": ("none", replace(PLAIN, linux=False, parent=1, environ={"XPC_SERVICE_NAME": "0"})),
    "supervisord": ("supervisord", child_of("supervisord")),
    "circus": ("circus", child_of("python3", "circusd")),
    "monit": ("monit", child_of("monit")),
    "runit": ("runit", child_of("runsv")),
    "s6": ("s6", child_of("s6-supervise")),
    "daemontools": ("daemontools", child_of("supervise")),
    "pid 1": ("container", replace(PLAIN, pid=1, parent=0)),
    "pid 1 with a terminal": ("container", replace(PLAIN, pid=1, parent=0, foreground=True)),
    "a pod": ("kubernetes", replace(PLAIN, pid=1, parent=0, environ={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})),
    "a pod with an init": ("kubernetes", child_of("tini", environ={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})),
    "tini": ("container", child_of("tini")),
    "dumb-init": ("container", child_of("dumb-init")),
    "catatonit": ("container", child_of("catatonit")),
    "docker-init": ("container", child_of("docker-init")),
    "podman --init": ("container", child_of("podman-init", parent=1, init="podman-init")),
    "an orphan in a container": ("none", child_of("node", parent=1, init="node")),
    "a shell as pid 1": ("container", child_of("sh", parent=1, init="sh", grouped=True)),
    "a container in a shared namespace": ("container", replace(PLAIN, parent=0, names=frozenset())),
    "a parent that is hidden": ("unseen", replace(PLAIN, names=frozenset())),
    "an orphan under a hidden init": ("none", replace(PLAIN, parent=1, names=frozenset())),
    "a script": ("script", child_of("sh", grouped=True)),
    "a job of a shell": ("none", child_of("bash")),
    "a terminal": ("terminal", child_of("bash", foreground=True)),
    "a script in a terminal": ("script", child_of("bash", foreground=True, grouped=True)),
    "nobody": ("none", PLAIN),
    "nobody, with everything inherited": ("none", replace(PLAIN, environ=INHERITED)),
    "a shell job, with everything inherited": ("none", child_of("bash", environ=INHERITED)),
}


@pytest.mark.parametrize("case", SEEN)
def test_the_first_row_that_is_proved_is_the_one(case: str) -> None:
    name, seen = SEEN[case]
    assert next(row.name for row in TABLE if row.proof(seen)) == name


def test_every_row_has_a_case_and_a_name_of_its_own() -> None:
    assert {name for name, _ in SEEN.values()} == set(NAMES)
    assert len(set(NAMES)) == len(TABLE)


@pytest.mark.parametrize("case", SEEN)
def test_a_fresh_pid_stays_away_from_all_who_watch_one(case: str) -> None:
    name, seen = SEEN[case]
    [row] = [row for row in TABLE if row.name == name]
    found = Found(row, "", seen)
    for mode in (Mode.SPAWN, Mode.OVERLAP):
        why = found.why_exec(mode)
        assert (why == "") is (name == "none" and seen.linux)
        assert not why or why in {str(reason) for reason in REASONS}
    assert found.why_exec(Mode.EXEC) == found.why_exec(Mode.IN_PROCESS) == ""
    assert (found.why_exec(Mode.SUPERVISOR) == "") is (name != "terminal")


@pytest.mark.parametrize("name", NAMES)
def test_the_operator_s_word_is_believed(name: str) -> None:
    found = detect({"GATEWAY_SUPERVISOR": name})
    assert (found.supervisor.name, found.proof) == (name, "GATEWAY_SUPERVISOR")


def test_an_unknown_supervisor_is_refused_with_a_list_of_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"GATEWAY_SUPERVISOR 'upstart': choose one of systemd, launchd.*none"
    ):
        detect({"GATEWAY_SUPERVISOR": "upstart"})


def test_an_environment_is_no_part_of_what_is_shown() -> None:
    assert "secret" not in repr(detect({"TOKEN": "secret"}))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/system.slice/bot.service", ("bot.service", False)),
        ("/system.slice/system-bot.slice/bot@7.service", ("bot@7.service", False)),
        ("/system.slice/bot.service/workers/1", ("bot.service", False)),
        ("/system.slice/_memory.x.service", ("memory.x.service", False)),
        (r"/system.slice/a\x2db.service", (r"a\x2db.service", False)),
        ("/user.slice/user-1.slice/user@1.service/app.slice/bot.service", ("bot.service", True)),
        ("/user.slice/user-1.slice/user@1.service/init.scope", ("", False)),
        ("/user.slice/user-1.slice/session-3.scope", ("", False)),
        ("/machine.slice/systemd-nspawn@x.service/payload/system.slice/in.service", ("in.service", False)),
        ("/system.slice/not-a.services", ("", False)),
        ("/", ("", False)),
        ("", ("", False)),
    ],
)
def test_the_unit_is_in_the_path_of_the_cgroup(path: str, found: tuple[str, bool]) -> None:
    assert evidence.unit_in(path) == found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1min 30s", 90.0),
        ("7s", 7.0),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("1h 2min 3s 4ms 5us", 3723.004005),
        ("1month", 2629800.0),
        ("1w 1d", 691200.0),
        ("0", 0.0),
        ("infinity", math.inf),
    ],
)
def test_a_span_of_systemd_is_so_many_seconds(text: str, seconds: float) -> None:
    assert unit.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "7", "s", "7 apples", "-1s"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"span of time|convert"):
        unit.seconds(text)


@pytest.mark.parametrize(
    ("facts", "seconds"),
    [
        ({"TimeoutStopUSec": "10s", "SendSIGKILL": "yes", "KillMode": "mixed"}, 10),
        ({"TimeoutStopUSec": "10s", "SendSIGKILL": "no"}, math.inf),
        ({"TimeoutStopUSec": "10s", "KillMode": "none"}, math.inf),
        ({"TimeoutStopUSec": "0"}, math.inf),
    ],
)
def test_when_a_unit_kills(facts: Mapping[str, str], seconds: float) -> None:
    assert unit.kills_after(facts) == seconds


BOT = replace(PLAIN, unit="bot.service")


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name, first on the PATH; what it does is written into it."""
    program = tmp_path / "systemctl"
    program.touch(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return program


@pytest.mark.usefixtures("descriptors")
class TestTheManager:
    def test_is_asked_for_its_own_word_on_our_unit(self, systemctl: Path) -> None:
        systemctl.write_text(
            '#!/bin/sh\necho "$@" >&2\nfor last; do :; done\n[ "$last" = bot.service ] || exit 1\n'
            "echo LoadState=loaded\necho TimeoutStopUSec=1min 2s\n"
        )
        assert ask_systemd(BOT, Host()) == Patience(62.0, "TimeoutStopSec= of bot.service")

    def test_of_a_user_is_asked_where_it_runs_the_unit(self, systemctl: Path) -> None:
        systemctl.write_text(
            '#!/bin/sh\n[ "$1" = --user ] && echo LoadState=loaded && echo TimeoutStopUSec=5s\n'
        )
        assert ask_systemd(replace(BOT, of_user=True), Host()).seconds == 5

    @pytest.mark.parametrize(
        ("does", "why"),
        [
            ("exec sleep 60", "has not answered within"),
            ("sleep 2 & sleep 2", "has not answered within"),  # and somebody else keeps its pipes
            ("echo no bus >&2; exit 1", "systemctl: no bus"),
            ("echo LoadState=not-found", r"no unit bot.service \(not-found\)"),
            ("true", r"no unit bot.service \(no answer\)"),
        ],
    )
    def test_that_gives_no_answer_is_told_of_in_time(self, systemctl: Path, does: str, why: str) -> None:
        systemctl.write_text(f"#!/bin/sh\n{does}\n")
        with pytest.raises(OSError, match=why):
            ask_systemd(BOT, Host())

    def test_that_is_not_there_or_has_no_unit_of_ours_is_an_error_of_the_os(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(OSError, match="systemctl"):
            ask_systemd(BOT, Host())
        with pytest.raises(OSError, match="names no unit"):
            ask_systemd(PLAIN, Host())

    def test_that_talks_nonsense_is_a_value_error(self, systemctl: Path) -> None:
        systemctl.write_text("#!/bin/sh\necho LoadState=loaded\necho TimeoutStopUSec=later\n")
        with pytest.raises(ValueError, match="later"):
            ask_systemd(BOT, Host())


@pytest.mark.parametrize(("text", "seconds"), [("7500\n", 7.5), ("0", math.inf), (None, math.inf)])
def test_s6_tells_by_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, seconds: float
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "timeout-kill").write_text(text)
    assert ask_s6(replace(PLAIN, parent=os.getpid()), Host()).seconds == seconds


@pytest.mark.parametrize(
    ("environ", "option", "told"),
    [
        ({}, None, None),
        ({}, 20.0, (20.0, "--supervisor-timeout")),
        ({"GATEWAY_SUPERVISOR_TIMEOUT": "12.5"}, None, (12.5, "GATEWAY_SUPERVISOR_TIMEOUT")),
        ({"GATEWAY_SUPERVISOR_TIMEOUT": "12.5"}, 20.0, (20.0, "--supervisor-timeout")),
        ({"GATEWAY_SUPERVISOR_TIMEOUT": "infinity"}, None, (math.inf, "GATEWAY_SUPERVISOR_TIMEOUT")),
        ({"GATEWAY_SUPERVISOR_TIMEOUT": ""}, None, None),
    ],
)
def test_the_option_comes_before_the_variable(
    environ: Mapping[str, str], option: float | None, told: tuple[float, str] | None
) -> None:
    found = told_by_operator(environ, option)
    assert (found and (found.seconds, found.setting)) == told


@pytest.mark.parametrize("text", ["0", "-1", "nan", "soon", "1e12", "-infinity"])
def test_an_absurd_timeout_is_refused_by_the_name_of_its_variable(text: str) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_SUPERVISOR_TIMEOUT"):
        told_by_operator({"GATEWAY_SUPERVISOR_TIMEOUT": text}, None)


def test_what_does_not_fit_is_told_in_numbers_with_what_to_change() -> None:
    limits, state, said = fit(Limits(stop=30), Patience(10, "stopwaitsecs of bot"), extends=False)
    for part in ("30 s", "10 s", "stopwaitsecs of bot", "cut to 7.5 s", "35 s", "--stop-timeout"):
        assert part in said
    assert (limits.stop, state) == (7.5, "fail")
    for seconds in (10, math.inf):
        assert fit(Limits(), Patience(seconds, ""), extends=False) == (Limits(), "ok", "")


def test_where_more_can_be_asked_for_a_stop_is_not_cut_and_what_it_depends_on_is_told() -> None:
    patience = Patience(10, "TimeoutStopSec= of bot.service")
    limits, state, said = fit(Limits(stop=30), patience, extends=True)
    assert (limits, state) == (Limits(stop=30), "warn")
    for part in ("30 s", "10 s after", "while its work gets less", "over after 7.5 s", "killed after 35 s"):
        assert part in said
    limits, state, said = fit(Limits(stop=30, lame_duck=5), patience, extends=True)
    assert (limits, state) == (Limits(stop=30), "fail"), "nothing gets less in it"
    assert "and no lame duck" in said
    limits, state, said = fit(Limits(stop=5, lame_duck=5), patience, extends=True)
    assert (limits, state) == (Limits(stop=5, lame_duck=2.5), "fail")
    assert "cut to 7.5 s with 2.5 s of lame duck" in said


@pytest.mark.parametrize("row", [row for row in TABLE if row.name != "none"], ids=lambda row: row.name)
def test_the_budgets_as_they_come_fit_every_supervisor_as_it_comes(row: object) -> None:
    patience = row.patience  # type: ignore[attr-defined]
    assert fit(Limits(), patience, extends=False) == (Limits(), "ok", "")
