"""``gateway doctor``: what it finds, and that it changes nothing."""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from speaking import environment, gateway, started

from gatewaylock.cli import main
from gatewaylock.cli.checks import doors, machine, place, unit, watch
from gatewaylock.cli.checks.case import Case
from gatewaylock.cli.doctor import findings
from gatewaylock.cli.options import parse
from gatewaylock.core.errors import ConfigError
from gatewaylock.core.plan import Mode
from gatewaylock.system import ground
from gatewaylock.system.lock import GatewayLock


def case(run_dir: Path, *words: str, **environ: str) -> Case:
    args: argparse.Namespace = parse(["doctor", "--run-dir", str(run_dir), *words], environ)
    return Case.of(args, environ)


def found(about: Case) -> dict[str, list[tuple[str, str]]]:
    result: dict[str, list[tuple[str, str]]] = {}
    for finding in findings(about):
        result.setdefault(finding.check, []).append((finding.state, finding.text))
    return result


# -- as a command --------------------------------------------------------------------------------------


def test_of_a_gateway_that_runs_all_is_well(run_dir: Path) -> None:
    words = ["--run-dir", run_dir, "--bind", "127.0.0.1:0", "--bind", f"unix:{run_dir}/s"]
    with started(sys.executable, "-m", "gatewaylock", "run", *words) as said:
        port = said.hears(r"address=127.0.0.1:(\d+)")[1]
        asked = gateway(
            "doctor", "--run-dir", run_dir, "--bind", f"127.0.0.1:{port}", "--bind", f"unix:{run_dir}/s"
        )
        assert (asked.returncode, asked.stderr) == (0, "")
        for line in (
            f"ok    supervisor      of pid {said.pid}: none: ",
            f"ok    lock            held by pid {said.pid}, the gateway, which is serving",
            f"ok    control socket  pid {said.pid} answers",
            f"ok    addresses       127.0.0.1:{port}: the gateway listens there",
            f"ok    addresses       unix:{run_dir}/s: the gateway listens there",
        ):
            assert line in asked.stdout


def test_a_gateway_that_runs_is_asked_where_it_listens_when_nobody_says(run_dir: Path) -> None:
    with started(
        sys.executable, "-m", "gatewaylock", "run", "--run-dir", run_dir, "--bind", f"unix:{run_dir}/s"
    ) as said:
        said.hears("serving")
        asked = gateway("doctor", "--run-dir", run_dir)
        assert (asked.returncode, asked.stderr) == (0, "")
        listens = [line for line in asked.stdout.splitlines() if " addresses " in line]
        assert listens == [f"ok    addresses       unix:{run_dir}/s: the gateway listens there"]


def test_it_exits_1_where_something_will_not_behave_and_says_it_in_json(run_dir: Path) -> None:
    asked = gateway(
        "doctor", "--json", "--run-dir", run_dir, "--stop-timeout", "30", "--supervisor-timeout", "10"
    )
    facts = json.loads(asked.stdout)
    assert (asked.returncode, facts["ok"]) == (1, False)
    [bad] = [finding for finding in facts["findings"] if finding["state"] == "fail"]
    assert bad["check"] == "kill timeout" and "cut to 7.5 s" in bad["text"]


def test_it_makes_nothing_and_takes_nothing(run_dir: Path) -> None:
    where = run_dir / "not" / "yet"
    asked = gateway("doctor", "--run-dir", where, "--bind", f"unix:{run_dir}/s")
    assert asked.returncode == 0, asked.stdout
    assert f"{where}: to be made" in asked.stdout
    assert list(run_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "environ"),
    [(["--name", "../x"], {}), (["--drain-timeout", "-1"], {}), ([], {"GATEWAY_RESTART_MODE": "magic"})],
)
def test_options_that_no_gateway_would_take_exit_78(
    run_dir: Path, words: list[str], environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--run-dir", str(run_dir), *words]) == 78


def test_a_check_that_fails_itself_is_a_line(run_dir: Path) -> None:
    about = replace(case(run_dir), binds=((None, 1),))  # type: ignore[arg-type]
    [(state, text)] = found(about)["addresses"]
    assert state == "fail" and text.startswith("the check itself failed: ")


def test_nothing_that_a_process_is_called_steers_the_terminal(run_dir: Path) -> None:
    """A holder with an escape sequence in its command line."""
    (run_dir / "gateway.lock").touch(0o600)
    program = "import sys; from gatewaylock import GatewayLock; lock = GatewayLock(run_dir=sys.argv[1]); lock.acquire()"
    program += "; print('held', flush=True); sys.stdin.read()"
    with started(sys.executable, "-c", program, run_dir, "\x1b[31m\n") as said:
        said.hears("held")
        asked = gateway("doctor", "--run-dir", run_dir)
        assert asked.returncode == 1
        assert f"fail  lock            held by pid {said.pid}" in asked.stdout
        assert "which does not answer" in asked.stdout and "\x1b" not in asked.stdout


# -- the run directory, the file system, the lock ------------------------------------------------------


def test_a_run_directory_that_cannot_be_trusted_is_told_of(run_dir: Path) -> None:
    run_dir.chmod(0o777)
    assert [state for state, _ in place.run_directory(case(run_dir))] == ["fail"]
    run_dir.chmod(0o700)
    link = run_dir / "link"
    link.symlink_to(run_dir)
    assert "symlink" in next(place.run_directory(case(link)))[1]
    deep = run_dir / ("x" * 100)
    assert (
        "too long"
        in found(replace(case(run_dir), run_dir=type(case(run_dir).run_dir)(str(deep))))["run directory"][0][
            1
        ]
    )


def test_a_network_file_system_is_warned_of() -> None:
    assert all(map(ground.is_remote, ["nfs", "nfs4", "cifs", "9p", "fuse.sshfs"]))
    assert not any(map(ground.is_remote, ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs", ""]))


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc/self/mountinfo")
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    assert ground.file_system("/proc/self") == "proc"
    assert ground.file_system(str(tmp_path)) not in ("", "proc")


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc/locks")
def test_a_lock_is_seen_without_being_touched(run_dir: Path) -> None:
    path = run_dir / "gateway.lock"
    assert ground.is_flocked(str(path)) is False
    lock = GatewayLock(run_dir=str(run_dir))
    lock.acquire(0)
    assert ground.is_flocked(str(path)) is True
    lock.release()
    assert ground.is_flocked(str(path)) is False
    assert list(place.lock(case(run_dir))) == [("ok", "free")]


def test_a_gateway_that_is_parked_will_not_behave(run_dir: Path) -> None:
    about = replace(case(run_dir), status={"pid": os.getpid(), "phase": "parked", "reason": "no database"})
    [(state, text)] = place.lock(about)
    assert state == "fail" and "no database" in text


# -- doors -----------------------------------------------------------------------------------------------


def test_an_address_is_free_taken_or_impossible(run_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        [(state, text)] = doors.addresses(case(run_dir, "--bind", f"127.0.0.1:{port}"))
        assert state == "fail" and "another program listens" in text
    [(state, _)] = doors.addresses(case(run_dir, "--bind", f"127.0.0.1:{port}"))
    assert state == "ok"
    [(state, text)] = doors.addresses(case(run_dir, "--bind", "192.0.2.1:80"))
    assert state == "fail" and os.strerror(errno.EADDRNOTAVAIL) in text


def test_looking_at_an_address_keeps_nobody_from_it(run_dir: Path) -> None:
    """A gateway that starts between our bind and our close."""
    with socket.socket() as looking, socket.socket() as starting:
        for each in (looking, starting):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        looking.bind(("127.0.0.1", 0))
        starting.bind(looking.getsockname())
        starting.listen()


def test_a_path_is_free_stale_taken_or_something_else(run_dir: Path) -> None:
    path = run_dir / "s"
    about = case(run_dir, "--bind", f"unix:{path}")
    assert next(doors.addresses(about)) == ("ok", f"unix:{path}: free")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert next(doors.addresses(about))[0] == "fail"
    assert "stale" in next(doors.addresses(about))[1]
    path.unlink()
    path.write_text("mine")
    assert "something else" in next(doors.addresses(about))[1]
    nowhere = case(run_dir, "--bind", f"unix:{run_dir}/no/s")
    assert next(doors.addresses(nowhere))[0] == "fail"


# -- the machine --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "state"), [(100, "fail"), (300, "warn"), (1024, "ok")])
def test_too_few_descriptors_are_told_of(run_dir: Path, limit: int, state: str) -> None:
    program = (
        "import resource, sys; from gatewaylock.cli import main;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit})); sys.exit(main(sys.argv[1:]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, "doctor", "--run-dir", run_dir],
        capture_output=True, text=True, timeout=30, env=environment(),
    ).stdout  # fmt: skip
    [line] = [line for line in said.splitlines() if " descriptors " in line]
    assert line.startswith(state) and (state == "ok") is ("ulimit" not in line)


def test_descriptors_are_those_of_the_gateway_that_runs(run_dir: Path) -> None:
    with started("sh", "-c", "ulimit -n 77; echo ready; read x") as said:
        said.hears("ready")
        [(state, text)] = machine.descriptors(replace(case(run_dir), status={"pid": said.pid}))
        assert (state, text.split()[0]) == ("fail", "77")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] != 77


def test_an_interpreter_that_is_gone_is_told_of(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(tmp_path / "python"))
        [(state, _)] = machine.interpreter(case(run_dir))
        assert state == "fail"
    program = tmp_path / "gone"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with started(program, "60") as said:
        program.unlink()
        *_, (state, text) = machine.interpreter(replace(case(run_dir), status={"pid": said.pid}))
        assert state == "fail" and "no restart" in text


def test_faulthandler_can_be_armed(run_dir: Path) -> None:
    assert [state for state, _ in machine.faults(case(run_dir))] == ["ok"]


# -- who watches --------------------------------------------------------------------------------------------


GOOD = {
    "KillMode": "mixed",
    "Restart": "on-failure",
    "RestartPreventExitStatus": "2 78",
    "RestartForceExitStatus": "75",
    "SuccessExitStatus": "75",
    "MainPID": "0",
    "Type": "notify",
    "NotifyAccess": "main",
    "TimeoutStartUSec": "4min 30s",
    "WatchdogUSec": "30s",
    "FileDescriptorStoreMax": "16",
    "LimitNOFILESoft": "1024",
    "User": "",
}


def faults(run_dir: Path, *words: str, **facts: str) -> str:
    about = case(run_dir, *words)
    return "\n".join(
        f"{state} {text}" for look in unit.LOOKS for state, text in look({**GOOD, **facts}, about)
    )


@pytest.mark.parametrize(
    ("facts", "words", "says"),
    [
        ({}, [], ""),
        ({"KillMode": "control-group"}, [], "warn .*KillMode=mixed"),
        ({"KillMode": "process"}, [], "warn .*outlive"),
        ({"Restart": "no"}, [], "warn .*after a crash"),
        ({"RestartPreventExitStatus": ""}, [], "fail .*for ever: RestartPreventExitStatus=78"),
        ({"Restart": "always", "RestartPreventExitStatus": "2"}, [], "fail .*for ever"),
        ({"Restart": "no", "RestartPreventExitStatus": ""}, [], "^warn [^\n]*$"),
        ({}, ["--restart-mode", "supervisor"], "fail .*exit code 0 under Restart=on-failure"),
        ({}, ["--restart-mode", "supervisor", "--restart-exit-code", "75"], ""),
        ({}, ["--restart-mode", "supervisor", "--restart-exit-code", "3"], ""),
        ({}, ["--restart-mode", "supervisor", "--restart-exit-code", "78"], "fail .*exit code 78"),
        ({"Restart": "always"}, ["--restart-mode", "supervisor"], ""),
        (
            {"RestartForceExitStatus": ""},
            ["--restart-mode", "supervisor", "--restart-exit-code", "75"],
            "fail",
        ),
        ({"NotifyAccess": "none"}, [], "fail .*never ready: Type=notify and NotifyAccess=main"),
        ({"Type": "exec", "NotifyAccess": "none"}, [], "warn .*before it serves: Type=notify"),
        ({"NotifyAccess": "none"}, ["--restart-mode", "spawn"], "warn .*spawn becomes exec"),
        ({"Type": "forking"}, [], "fail .*Type=forking .*never comes: Type=notify"),
        ({"WatchdogUSec": "100ms"}, [], "fail .*not move for 0.1 s.*: WatchdogSec=30"),
        ({"WatchdogUSec": "0"}, [], ""),
        (
            {"TimeoutStartUSec": "1s"},
            [],
            r"fail .*take 5 s \(--lock-timeout\).*after 1 s: TimeoutStartSec=252",
        ),
        ({"TimeoutStartUSec": "3min"}, [], "^warn .*reload may take 247 s.*after 180 s: TimeoutStartSec=252"),
        ({}, ["--probation", "600"], "^warn .*reload may take 845 s.*after 270 s: TimeoutStartSec=850"),
        ({}, ["--start-timeout", "300"], r"fail .*take 305 s \(--lock-timeout and --start-timeout\)"),
        ({"TimeoutStartUSec": "infinity"}, ["--start-timeout", "300"], ""),
        (
            {"FileDescriptorStoreMax": "0"},
            [],
            "warn .*keeps 0 of 1 listening sockets: FileDescriptorStoreMax=16",
        ),
        ({"FileDescriptorStoreMax": "0"}, ["--bind", "fd:web"], ""),
        ({"User": "nobody" if os.geteuid() == 0 else "root"}, [], "warn .*runs as User="),
        ({"User": str(os.geteuid())}, [], ""),
    ],
)
def test_what_does_not_suit_a_gateway_in_a_unit(
    run_dir: Path, facts: dict[str, str], words: list[str], says: str
) -> None:
    said = faults(run_dir, *words, **facts)
    assert bool(said) is bool(says) and re.search(says, said, re.MULTILINE)


def test_a_main_process_that_is_not_the_gateway_is_told_of(run_dir: Path) -> None:
    about = replace(case(run_dir), status={"pid": os.getpid()})
    assert list(unit.who({**GOOD, "MainPID": str(os.getpid())}, about)) == []
    [(state, text)] = unit.who({**GOOD, "MainPID": "1"}, about)
    assert state == "fail" and f"the gateway is pid {os.getpid()}" in text


def manager(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    system: Mapping[str, str] | None = None,
    user: Mapping[str, str] | None = None,
) -> None:
    """A systemctl that knows one unit of each kind at most."""

    def said(facts: Mapping[str, str] | None) -> str:
        every = {"LoadState": "loaded", **facts} if facts else {"LoadState": "not-found"}
        return "\n".join(f"{key}={value}" for key, value in every.items())

    text = f"case $1 in --user) echo '{said(user)}' ;; *) echo '{said(system)}' ;; esac\n"
    (tmp_path / "systemctl").write_text(f"#!/bin/sh\n{text}")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_the_unit_that_is_named_is_looked_at(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager(tmp_path, monkeypatch, system={**GOOD, "TimeoutStopUSec": "8s"})
    said = found(case(run_dir, "--unit", "bot.service"))
    assert said["unit"][0][0] == "ok" and said["unit"][0][1].startswith("bot.service: ")
    assert said["kill timeout"] == [("ok", "a stop may take 5 s of 8 s (TimeoutStopSec= of bot.service)")]
    deaf = {**GOOD, "TimeoutStopUSec": "8s", "Type": "exec", "NotifyAccess": "none"}
    manager(tmp_path, monkeypatch, system=deaf)
    said = found(case(run_dir, "--unit", "bot.service", "--stop-timeout", "7"))
    assert said["kill timeout"][0][0] == "fail" and "cut to 6 s" in said["kill timeout"][0][1]
    manager(tmp_path, monkeypatch, system={**deaf, "NotifyAccess": "main"})
    said = found(case(run_dir, "--unit", "bot.service", "--stop-timeout", "7"))
    assert said["kill timeout"][0][0] == "warn", "the gateway does not cut it either: it asks for more time"
    assert "without progress it is over after 6 s" in said["kill timeout"][0][1]


@pytest.mark.parametrize("of_user", [False, True])
def test_a_unit_is_found_with_whichever_manager_has_it_and_its_own_limits_count(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_user: bool
) -> None:
    bad = {
        "NotifyAccess": "none",
        "TimeoutStartUSec": "1s",
        "WatchdogUSec": "100ms",
        "FileDescriptorStoreMax": "0",
    }
    facts = {**GOOD, **bad, "TimeoutStopUSec": "8s", "LimitNOFILESoft": "20"}
    manager(tmp_path, monkeypatch, **{"user" if of_user else "system": facts})
    said = found(case(run_dir, "--unit", "bot.service"))
    assert [state for state, _ in said["unit"]] == ["fail", "fail", "fail", "warn", "warn"]
    assert said["kill timeout"] == [("ok", "a stop may take 5 s of 8 s (TimeoutStopSec= of bot.service)")]
    [(state, text)] = said["descriptors"]
    assert state == "fail" and text.startswith("20 (LimitNOFILE= of bot.service): 0 clients at once")


def test_a_unit_that_no_manager_has_is_told_of_with_the_word_of_each(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager(tmp_path, monkeypatch)
    said = found(case(run_dir, "--unit", "bot.service"))
    [(state, text)] = said["unit"]
    assert (
        state == "fail"
        and "no unit bot.service (not-found) (of the system)" in text
        and "(of the user)" in text
    )
    assert said["descriptors"][0][1].split(" (")[1].startswith("hard limit")


def test_a_supervisor_that_says_nothing_leaves_its_default(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    said = found(case(run_dir, GATEWAY_SUPERVISOR="systemd"))["kill timeout"]
    assert [state for state, _ in said] == ["warn", "ok"] and "90 s are assumed" in said[0][1]


def test_a_mode_that_becomes_another_here_is_told_of(run_dir: Path) -> None:
    about = case(run_dir, "--restart-mode", "overlap", GATEWAY_SUPERVISOR="runit")
    assert (
        "warn",
        "--restart-mode overlap becomes exec: a supervisor: it watches this pid and would start another",
    ) in list(watch.supervisor(about))
    about = case(run_dir, "--restart-mode", "supervisor", GATEWAY_SUPERVISOR="supervisord")
    assert (
        "ok",
        "a restart leaves with exit code 0; supervisord starts again after: all but those of exitcodes (0)",
    ) in list(watch.supervisor(about))
    assert case(run_dir, "--restart-mode", "spawn", GATEWAY_NO_RESPAWN="1").mode is Mode.IN_PROCESS


def test_a_shell_that_keeps_the_stop_for_itself_is_told_of(run_dir: Path) -> None:
    """systemd's main process is a shell, and the gateway its child."""
    said_pid = f"SYSTEMD_EXEC_PID=$$ {sys.executable} -m gatewaylock run --run-dir {run_dir} --bind 127.0.0.1:0; true"
    with started("sh", "-c", said_pid) as said:
        said.hears("serving")
        asked = gateway("doctor", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
        assert f"a stop is told to pid {said.pid} (sh) and not to the gateway" in asked.stdout
        assert asked.returncode == 1


def test_a_gateway_that_does_not_answer_is_told_of(run_dir: Path) -> None:
    words = ["--run-dir", str(run_dir), "--bind", "127.0.0.1:0"]
    with started(sys.executable, "-m", "gatewaylock", "run", *words) as said:
        said.hears("serving")
        said.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, said.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)  # each thread of it, too
        about = Case.of(parse(["doctor", *words], {}), {}, patience=0.2)
        assert list(doors.control_socket(about)) == [("fail", "no answer within 0.2 s")]
        [(state, text)] = place.lock(about)
        assert state == "fail" and f"pid {said.pid}" in text


def test_a_wrong_supervisor_is_a_line_too(run_dir: Path) -> None:
    said = found(case(run_dir, GATEWAY_SUPERVISOR="upstart"))
    assert "ConfigError: GATEWAY_SUPERVISOR 'upstart'" in said["supervisor"][0][1]
    with pytest.raises(ConfigError):
        case(run_dir, "--name", "/")
