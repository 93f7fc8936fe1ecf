"""Files for supervisors: complete, fitting our budgets, true to every word, read by the supervisors' own readers."""

from __future__ import annotations

import configparser
import json
import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gatewaylock.cli import main
from gatewaylock.cli.unit import KINDS
from gatewaylock.cli.units import quoting, scripts, supervisord, systemd
from gatewaylock.cli.units.service import Service
from gatewaylock.core.errors import ConfigError
from gatewaylock.core.limits import Limits
from gatewaylock.core.plan import Mode
from gatewaylock.loop.watched import Watched
from gatewaylock.system.host import Host

#: every one can be a file's name
HOSTILE = [
    "a b", "a'b", 'a"b', "a\\b", "end\\", "100%", "%n %i %%", "$HOME ${HOME} $(id) $$", "`id`", "a;b", "a ;b #c",
    "; x", "# x", "-x", "--", "*", "~", "a&b<c>", "]]>", "--->", "{name}", "{0}", "é漢🙂", "!x", "a,b=c", "'\"'\"'", "",
]  # fmt: skip
UNSEEN = [
    "a\nb",
    "a\rb",
    "a\x1b[31mb",
    "a\x85b",
    "a\u2028b",
    "a\u202eb",
    "a\x7fb",
    os.fsdecode(b"a\xffb"),
    "a\tb",
]


def unit(capsys: pytest.CaptureFixture[str], kind: str, *words: str) -> str:
    assert main(["unit", kind, "--", *words]) == 0
    return capsys.readouterr().out


def service(*words: str, python: str = sys.executable, directory: str = "/srv") -> Service:
    return Service("bot", python, words, directory, "bot", "/run/x", "", (("0.0.0.0", 80),), Limits())


def values(text: str, key: str) -> str:
    """Of a unit of systemd."""
    [found] = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    return str(found)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GATEWAY")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONPATH", raising=False)


# -- what they say ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("systemd", r"^RestartPreventExitStatus=2 78$"),
        ("launchd", r"<key>ThrottleInterval</key>\s*<integer>30</integer>"),
        ("supervisord", r"^autorestart=unexpected\nexitcodes=0,2,78$"),
        ("runit", r"^    2 \| 78\) printf d >supervise/control ;;$"),
        ("s6", r"^    2 \| 78\) exit 125 ;;$"),
        ("docker", r"78: the name is taken[^:]*later and later(.|\n)*^    restart: unless-stopped$"),
        (
            "kubernetes",
            r"78: the name is taken[^:]*tried later and later(.|\n)*^      restartPolicy: Always$",
        ),
    ],
)
def test_a_name_that_is_held_is_not_tried_in_a_tight_loop(
    capsys: pytest.CaptureFixture[str], kind: str, pattern: str
) -> None:
    assert re.search(pattern, unit(capsys, kind), re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("systemd", r"^TimeoutStopSec=(\d+)$"),
        ("launchd", r"<key>ExitTimeOut</key>\s*<integer>(\d+)</integer>"),
        ("supervisord", r"^stopwaitsecs=(\d+)$"),
        ("runit", r"give it -w (\d+)\.$"),
        ("s6", r"no less than (\d+)000 in it"),
        ("docker", r"^    stop_grace_period: (\d+)s$"),
        ("kubernetes", r"^      terminationGracePeriodSeconds: (\d+)$"),
    ],
)
@pytest.mark.parametrize(
    ("words", "least"),
    [
        ([], 10),
        (["--stop-timeout", "20"], 25),
        (["--stop-timeout", "20.5", "--lame-duck", "10"], 36),
        (["--stop-timeout=9"], 12),
    ],
)
def test_it_kills_after_our_own_end(
    capsys: pytest.CaptureFixture[str], kind: str, pattern: str, words: list[str], least: int
) -> None:
    found = re.search(pattern, unit(capsys, kind, *words), re.MULTILINE)
    assert found and int(found[1]) == least


def test_a_reload_and_a_start_fit_into_the_time_that_systemd_gives(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = unit(capsys, "systemd", "--drain-timeout", "300", "--start-timeout", "100")
    assert int(values(text, "TimeoutStartSec")) > 300 + 100 + Limits().shutdown + Limits().preflight
    text = unit(capsys, "systemd", "--start-timeout", "1000", "--drain-timeout", "0")
    assert int(values(text, "TimeoutStartSec")) > 1000 + Limits().lock
    text = unit(capsys, "systemd", "--restart-mode", "overlap", "--probation", "600", "--backoff", "300")
    assert int(values(text, "TimeoutStartSec")) > 600 + 300 + 90 + 5 + 60 + 60


@pytest.mark.parametrize(
    ("bind", "waits"),
    [
        ("127.0.0.1:80", False), ("[::1]:80", False), ("localhost:80", False), ("0.0.0.0:80", False),
        ("[::]:80", False), ("unix:/run/s", False), ("fd:web", False),
        ("192.0.2.1:80", True), ("[2001:db8::1]:80", True), ("host.example:80", True),
    ],
)  # fmt: skip
def test_an_address_of_one_interface_is_waited_for(
    capsys: pytest.CaptureFixture[str], bind: str, waits: bool
) -> None:
    text = unit(capsys, "systemd", "--bind", bind)
    assert values(text, "After") == ("network-online.target" if waits else "network.target")
    assert ("\nWants=network-online.target\n" in text) is waits
    assert values(text, "StartLimitBurst") == ("30" if waits else "5")


def test_a_socket_unit_listens_before_its_address_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert values(unit(capsys, "systemd-socket", "--bind", "192.0.2.1:80"), "FreeBind") == "true"
    assert "FreeBind" not in unit(capsys, "systemd-socket", "--bind", "0.0.0.0:80")


def test_a_unit_of_systemd_has_what_was_measured_to_be_right(capsys: pytest.CaptureFixture[str]) -> None:
    text = unit(capsys, "systemd", "--name", "bot")
    for key, value in {
        "Type": "notify", "NotifyAccess": "main", "KillMode": "mixed", "Restart": "on-failure",
        "SuccessExitStatus": "75 130 143", "RestartForceExitStatus": "75", "FileDescriptorStoreMax": "16",
        "#WatchdogSec": "30",
    }.items():  # fmt: skip
        assert values(text, key) == value
    assert values(text, "ExecReload").split()[1:6] == ["-m", "gatewaylock", "restart", "--name", "bot"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_comment_says_where_it_belongs(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert f"`gateway unit {kind}`" in unit(capsys, kind, "--bind", "127.0.0.1:80").split("\n\n")[0]


def test_what_the_environment_of_this_shell_says_is_written_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "NAME": "bot", "RUN_DIR": "/run/b", "BIND": "h:1, unix:/s, [::1]:2", "RESTART_MODE": "spawn",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"GATEWAY_{name}", value)
    words = shlex.split(values(unit(capsys, "systemd", "httpbin:app"), "ExecStart"))
    assert words[3:] == [
        "run", "--run-dir", "/run/b", "--name", "bot", "--restart-mode", "spawn",
        "--bind", "h:1", "--bind", "unix:/s", "--bind", "[::1]:2", "httpbin:app",
    ]  # fmt: skip
    given = ["--name=x", "--run-dir=/r", "--bind=h:3", "--restart-mode=exec"]
    words = shlex.split(values(unit(capsys, "systemd", *given), "ExecStart"))
    assert words[3:] == ["run", *given]
    monkeypatch.setenv("GATEWAY_NO_RESPAWN", "1")
    assert "--restart-mode in-process" in unit(capsys, "systemd")


def test_a_python_path_that_is_lost_is_told_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/x")
    assert main(["unit", "systemd"]) == 0
    assert "PYTHONPATH is set here" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["upstart"], [], ["systemd", "--", "--stop"], ["runit", "--bind", "x"]])
def test_wrong_usage_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["unit", *words])
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


# -- whether they can be read ------------------------------------------------------------------------


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here (package systemd)"
)
def test_systemd_finds_nothing_to_say_about_its_units(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--name", "bot", "--bind", "127.0.0.1:80", "--bind", "[::1]:80", "--bind", "unix:/run/a b%c/s"]
    words += ["--run-dir", "/run/a b%c$d;\"'"]
    (tmp_path / "bot.service").write_text(unit(capsys, "systemd", *words))
    (tmp_path / "bot.socket").write_text(unit(capsys, "systemd-socket", *words))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "bot.service", tmp_path / "bot.socket"],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    about_ours = [line for line in done.stderr.splitlines() if "bot." in line or str(tmp_path) in line]
    assert (done.returncode, about_ours) == (0, [])


def test_a_property_list_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    found = plistlib.loads(unit(capsys, "launchd", "--name", "bot", "--run-dir", "/a <&> --> b").encode())
    assert found["Label"] == "gatewaylock.bot"
    assert found["ProgramArguments"][1:] == [
        "-m",
        "gatewaylock",
        "run",
        "--name",
        "bot",
        "--run-dir",
        "/a <&> --> b",
    ]
    assert found["KeepAlive"] == {"SuccessfulExit": False}
    assert found["WorkingDirectory"] == os.getcwd()


def test_a_gateway_of_launchd_uses_the_time_that_its_file_gives_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = plistlib.loads(unit(capsys, "launchd", "--stop-timeout", "60").encode())
    watched = Watched(
        Host(), Limits(stop=60), {**found["EnvironmentVariables"], "GATEWAY_SUPERVISOR": "launchd"}
    )
    watched.begin(Mode.EXEC)
    assert (found["ExitTimeOut"], watched.limits.stop) == (65, 60)


def read_section(text: str) -> dict[str, str]:
    """As supervisord reads it: comments within a line, a % for its expansions, then a shell's quotes."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(text)
    return {key: value % {} for key, value in parser["program:bot"].items()}


@pytest.mark.parametrize("kind", ["runit", "s6"])
def test_a_script_is_one(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    text = unit(capsys, kind, "--name", "bot", "--run-dir", "/a 'b' $c;")
    subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def load_yaml(text: str) -> Any:
    return pytest.importorskip("yaml").safe_load(text)


def test_a_compose_file_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    found = load_yaml(
        unit(capsys, "docker", "--name", "Bot_1", "--bind", "0.0.0.0:80", "--bind", "127.0.0.1:81")
    )
    bot = found["services"]["Bot_1"]
    assert bot["command"][:4] == ["gateway", "run", "--run-dir", "/tmp/gatewaylock"]
    assert (bot["ports"], bot["stop_grace_period"], bot["init"]) == (["80:80"], "10s", True)
    assert bot["build"]["dockerfile_inline"].startswith("FROM python:")
    assert "ports" not in load_yaml(unit(capsys, "docker"))["services"]["gateway"]


def test_a_deployment_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    text = unit(capsys, "kubernetes", "--name", "Bot_1.x", "--bind", "0.0.0.0:80", "--stop-timeout", "40")
    found = load_yaml(text)
    pod = found["spec"]["template"]["spec"]
    [bot] = pod["containers"]
    assert (found["kind"], found["spec"]["strategy"], found["spec"]["replicas"]) == (
        "Deployment", {"type": "Recreate"}, 1,
    )  # fmt: skip
    assert found["spec"]["selector"]["matchLabels"] == found["spec"]["template"]["metadata"]["labels"]
    assert (found["metadata"]["name"], pod["terminationGracePeriodSeconds"]) == ("bot-1-x", 45)
    assert bot["command"][:2] == ["gateway", "run"] and bot["ports"] == [{"containerPort": 80}]
    assert bot["env"] == [{"name": "GATEWAY_SUPERVISOR_TIMEOUT", "value": "45"}]
    [alone] = load_yaml(unit(capsys, "kubernetes"))["spec"]["template"]["spec"]["containers"]
    assert "ports" not in alone


def test_a_deployment_is_what_the_schema_of_kubernetes_allows(capsys: pytest.CaptureFixture[str]) -> None:
    """No part of the extra: its schemas are 108 MB, and it needs no network."""
    schemas = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for words in ([], ["--bind", "0.0.0.0:80", "--stop-timeout", "40"]):
        assert schemas.validate(load_yaml(unit(capsys, "kubernetes", *words)), "1.30", strict=True) == "1.30"


def test_a_container_is_ended_for_a_stuck_loop_alone_and_gets_work_only_while_it_is_ready(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = unit(capsys, "kubernetes", "--drain-timeout", "300", "--name", "bot")
    [bot] = load_yaml(text)["spec"]["template"]["spec"]["containers"]
    probes = {kind: bot[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
    words = {kind: probe["exec"]["command"] for kind, probe in probes.items()}
    assert all(said[:4] == ["gateway", "status", "--name", "bot"] for said in words.values())
    assert {kind: said[-1] for kind, said in words.items()} == {
        "startup": "--ready", "readiness": "--ready", "liveness": "--live",
    }  # fmt: skip
    # A restart that drains for all of its time is waited for: the socket keeps who comes meanwhile.
    ready = probes["readiness"]
    assert (
        ready["periodSeconds"] * (ready["failureThreshold"] - 1) >= 300 + Limits().shutdown + Limits().start
    )
    health = load_yaml(unit(capsys, "docker"))["services"]["gateway"]["healthcheck"]["test"]
    assert (health[:3], health[-1]) == (["CMD", "gateway", "status"], "--ready")


# -- every word arrives as it was -----------------------------------------------------------------------


@pytest.mark.parametrize("word", HOSTILE)
def test_supervisord_gets_every_word(word: str) -> None:
    there = service("app:app", f"x{word}", word)
    assert (
        tuple(shlex.split(read_section(supervisord.write("supervisord", there))["command"])) == there.command
    )


ECHO = "import json, os, sys; print(json.dumps([os.getcwd(), sys.argv[1:]]))"


@pytest.mark.parametrize("user", ["root", "nobody"])
@pytest.mark.parametrize("kind", ["runit", "s6"])
def test_a_script_starts_what_it_was_told_where_it_was_told(tmp_path: Path, kind: str, user: str) -> None:
    """The interpreter of this service only says what it gets, and where."""
    where = tmp_path / "".join(HOSTILE)
    where.mkdir()
    program = where / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c \'{ECHO}\' "$0" "$@"\n')
    program.chmod(0o755)
    there = service(*HOSTILE, "app:app", python=str(program), directory=str(where))
    text = scripts.write(kind, replace(there, user=user))
    drop = {"runit": "chpst -u", "s6": "s6-setuidgid"}[kind]
    assert (f"set -- {drop} {user} " in text) is (user != "root")
    text = text.replace(f"{drop} {user} ", "")  # which may not be here
    said = subprocess.run(["sh", "-c", text], capture_output=True, text=True, timeout=30, check=True).stdout
    assert json.loads(said) == [str(where), list(there.command)]


@pytest.mark.parametrize("word", [word for word in HOSTILE if word])
def test_yaml_and_xml_get_every_word(word: str) -> None:
    dollars = word.replace("$", "$$")
    assert load_yaml(f"- {quoting.yaml_list([word, 'x'])}") == [[dollars, "x"]]
    assert plistlib.loads(f"<plist><string>{quoting.xml(word)}</string></plist>".encode()) == word


@pytest.mark.parametrize(
    ("word", "written"),
    [
        # As systemd 252 gave them to the program that it started.
        ("a b", '"a b"'),
        ("a'b", '"a\'b"'),
        ('q"q', '"q\\"q"'),
        ("b\\s", '"b\\\\s"'),
        ("c%d", '"c%%d"'),
        ("a$b", '"a$$b"'),
        ("${HOME}", '"$${HOME}"'),
        (";", '";"'),
        ("", '""'),
        ("httpbin:app", "httpbin:app"),
        ("[::1]:80", '"[::1]:80"'),
    ],
)
def test_a_word_of_systemd(word: str, written: str) -> None:
    assert quoting.systemd_word(word) == written


def test_paths_of_systemd(tmp_path: Path) -> None:
    there = service(python="/opt/a b%c$d/python", directory="/srv/a b%c$d\\")
    text = systemd.write("systemd", there)
    assert values(text, "ExecStart").startswith('"/opt/a b%%c$d/python" -m gatewaylock run ')
    assert values(text, "WorkingDirectory") == "/srv/a b%%c$d\\/"


@pytest.mark.parametrize("path", ["/a'b/python", '/a"b/python', "/a\\b/python"])
def test_a_program_that_systemd_would_not_start_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="quotes or backslashes"):
        systemd.write("systemd", service(python=path))


@pytest.mark.parametrize(
    ("bind", "stream"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("0.0.0.0:1", "0.0.0.0:1"),
        ("unix:/run/a%b", "/run/a%%b"),
        ("unix:s", "HERE/s"),
    ],
)
def test_a_socket_unit_listens_where_the_gateway_would(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    bind: str,
    stream: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    text = unit(capsys, "systemd-socket", "--bind", bind)
    assert values(text, "ListenStream") == stream.replace("HERE", str(tmp_path))


@pytest.mark.parametrize(
    ("bind", "why"), [("localhost:80", "no name"), ("127.0.0.1:0", "a port that is known")]
)
def test_a_socket_unit_of_an_address_that_is_not_known_is_refused(
    capsys: pytest.CaptureFixture[str], bind: str, why: str
) -> None:
    assert main(["unit", "systemd-socket", "--", "--bind", bind]) == 78
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("word", UNSEEN)
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_seen_is_refused_in_one_escaped_line(
    capsys: pytest.CaptureFixture[str], kind: str, word: str
) -> None:
    assert main(["unit", kind, "--", "--run-dir", word]) == 78
    said = capsys.readouterr()
    assert said.out == ""
    assert "cannot be written" in said.err and said.err.strip().isprintable()


@pytest.mark.parametrize("directory", ["a ;b", "a #b", "a "])
def test_a_directory_that_supervisord_would_cut_is_refused(directory: str) -> None:
    with pytest.raises(ConfigError, match="supervisord"):
        supervisord.write("supervisord", service(directory=directory))
    assert quoting.supervisord_value("/a;b#c%d") == "/a;b#c%%d"
