"""What the command line and the environment say, and what their mistakes look like."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import pytest

from gatewaylock import ConfigError
from gatewaylock.cli import main
from gatewaylock.cli.options import parse

VERBS = [
    *("run", "check", "status", "stop", "restart", "unit", "doctor"),
    *("quiet", "resume", "cancel", "list", "history", "completion"),
]
NONE: Mapping[str, str] = {}


def binds(*words: str, **environ: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = parse(["run", *words], environ).bind
    return found


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("unix:/run/x", ("unix:/run/x", -1)),
        ("unix:relative:1", ("unix:relative:1", -1)),
    ],
)
def test_an_address_is_host_and_port_or_a_path(text: str, bind: tuple[str, int]) -> None:
    assert binds("--bind", text) == [bind]


@pytest.mark.parametrize("text", ["", "80", ":80", "[]:80", "h:", "h:x", "h:-1", "h:65536", "h:٣", "unix:"])
def test_what_is_no_address_exits_2(text: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        binds("--bind", text)


def test_an_address_given_twice_is_served_once_in_the_order_given() -> None:
    assert binds("--bind", "b:1", "--bind", "a:1", "--bind", "b:1") == [("b", 1), ("a", 1)]


def test_the_environment_speaks_where_the_option_does_not() -> None:
    environ = {"GATEWAY_BIND": "a:1, unix:/b", "GATEWAY_NAME": "n", "GATEWAY_RESTART_MODE": "supervisor"}
    args = parse(["run"], environ)
    assert (args.bind, args.name, args.restart_mode) == ([("a", 1), ("unix:/b", -1)], "n", "supervisor")
    args = parse(["run", "--bind", "c:2", "--name", "m", "--restart-mode", "exec"], environ)
    assert (args.bind, args.name, args.restart_mode) == ([("c", 2)], "m", "exec")
    assert binds(GATEWAY_BIND="") == binds() == [("127.0.0.1", 18789)]


def test_a_wrong_variable_is_named_and_concerns_run_alone() -> None:
    environ = {"GATEWAY_BIND": "junk"}
    with pytest.raises(ConfigError, match="GATEWAY_BIND: bind address 'junk'"):
        parse(["run"], environ)
    assert parse(["run", "--bind", "a:1"], environ).bind == [("a", 1)]
    for verb in ("status", "stop", "restart"):
        parse([verb], environ)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["run", "--factory"],
        ["run", "a:b", "c:d"],
        ["run", "--drain", "5"],  # no abbreviations: they change their meaning with the next option
        ["run", "--restart-mode", "magic"],
        ["check"],
        ["restart", "--mode", "auto"],
        ["stop", "--force"],
    ],
)
def test_wrong_usage_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(words, NONE)
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_an_example_that_parses(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([verb, "--help"])
    said = capsys.readouterr().out
    examples = [line.split("    ")[0].strip() for line in said.splitlines() if f"gateway {verb} " in line]
    examples = [line.removeprefix("example: ") for line in examples]
    examples = [line for line in examples if line.startswith("gateway ")]
    assert examples
    for example in examples:
        words = shlex.split(example.partition(" > ")[0])
        assert words[:2] == ["gateway", verb]
        parse(words[1:], NONE)


def test_the_help_of_run_names_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(["run", "--help"], NONE)
    said = capsys.readouterr().out
    for variable in (
        "BIND",
        "NAME",
        "RUN_DIR",
        "RESTART_MODE",
        "NO_RESPAWN",
        "ALLOW_MULTI",
        "SUPERVISOR",
        "SUPERVISOR_TIMEOUT",
    ):
        assert f"GATEWAY_{variable}" in said


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.startswith("gatewaylock ")
