"""``gateway help``: everything there is, and nothing that there is not."""

from __future__ import annotations

import argparse
import re
from importlib import import_module

import pytest
from speaking import gateway

import gatewaylock
from gatewaylock.admin.metrics import METRICS
from gatewaylock.cli import main
from gatewaylock.cli.library import INNER, PARTS
from gatewaylock.cli.options import build
from gatewaylock.cli.reference import TOPICS, WIDTH
from gatewaylock.control.protocol import ERRORS, VERBS
from gatewaylock.core import errors
from gatewaylock.core.endings import ENDINGS
from gatewaylock.core.events import KINDS
from gatewaylock.core.plan import MODES, Mode
from gatewaylock.system.inbox import RULES
from gatewaylock.system.supervisor.table import NAMES, REASONS


def told(topic: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["help", topic]) == 0
    return capsys.readouterr().out


def verbs() -> dict[str, argparse.ArgumentParser]:
    [found] = [action for action in build({})._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found.choices)


def test_without_a_topic_it_lists_the_topics() -> None:
    done = gateway("help")
    assert done.returncode == 0
    assert all(re.search(rf"^  {topic} ", done.stdout, re.MULTILINE) for topic in TOPICS)


def test_a_topic_that_there_is_not_is_wrong_usage() -> None:
    done = gateway("help", "everything")
    assert done.returncode == 2
    assert "supervisors" in done.stderr


def test_every_verb_and_option_is_there_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    text = told("options", capsys)
    for verb, parser in verbs().items():
        [part] = re.findall(rf"^gateway {verb}\n(.*?)(?=^gateway |\Z)", text, re.DOTALL | re.MULTILINE)
        for action in parser._actions:
            if action.dest != "help" and action.help is not argparse.SUPPRESS:
                assert all(
                    f"    {option}" in part or f", {option}" in part for option in action.option_strings
                )
                assert (action.help or "")[:20].replace("%%", "%") in part


def test_every_metric_is_there_under_its_full_name(capsys: pytest.CaptureFixture[str]) -> None:
    text = told("metrics", capsys)
    for metric in METRICS:
        name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
        assert re.search(rf"^  {name} +{metric.kind} ", text, re.MULTILINE), name


def test_every_exit_code_and_error_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    text = told("exit-codes", capsys)
    for ending in ENDINGS:
        assert re.search(rf"^  {re.escape(ending.code)} +{re.escape(ending.how)} ", text, re.MULTILINE)
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.GatewayError):
            assert re.search(rf"^ +{name} +{kind.exit_code} ", text, re.MULTILINE), name


def test_every_event_mode_signal_supervisor_and_verb_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(MODES) == set(Mode)
    rows = {
        "events": list(KINDS),
        "modes": [mode.value for mode in Mode],
        "signals": [rule.signal for rule in RULES],
        "supervisors": [*NAMES, *(reason.where for reason in REASONS)],
        "protocol": [*VERBS, *ERRORS],
    }
    for topic, names in rows.items():
        text = told(topic, capsys)
        for name in names:
            assert re.search(rf"^ +{re.escape(name)}\b", text, re.MULTILINE), (topic, name)


def test_every_public_name_and_what_a_gateway_owns_is_there_as_it_is_called(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = told("python", capsys)
    for name in gatewaylock.__all__:
        shown = getattr(gatewaylock, name)
        is_error = isinstance(shown, type) and issubclass(shown, Exception)
        assert bool(re.search(rf"^  {name}(\(|$)", text, re.MULTILINE)) == (
            callable(shown) and not is_error
        ), name
    assert "    .listen(host: str, port: int) -> socket.socket\n      A socket listening on" in text
    assert "    .phase: Phase\n" in text
    for given in ("Run", "Scheduled", "Deferral", "Account", "Item"):  # or nobody knows what comes back
        assert re.search(rf"^  {given}(\(|$)", text, re.MULTILINE), given
    modes = re.search(r"^( +restart_mode +)auto .*\n( +)spawn", text, re.MULTILINE)
    assert modes and len(modes[1]) == len(modes[2]), "columns are columns still"
    assert re.search(r"^  gateway.lanes\n(.*\n)+?    \.submit\(fn: Callable", text, re.MULTILINE)
    assert re.search(
        r"^  gatewaylock\.serve\.serve\(gateway: .*\n(.*\n)+?    Serve the WSGI application",
        text,
        re.MULTILINE,
    )
    assert re.search(r"^  gatewaylock\.admin\.Admin\(host: str, port: int", text, re.MULTILINE)
    assert " at 0x" not in text and ": '" not in text


def test_what_is_the_loops_to_call_is_there_to_be_called_and_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = [
        (import_module(f"gatewaylock.{room}").__dict__[name], inner) for room, name, inner in PARTS.values()
    ]
    parts += [(getattr(gatewaylock, name), inner) for name, inner in INNER.items()]
    for kind, inner in parts:
        assert all(callable(getattr(kind, name)) for name in inner.split())
    assert ".must_end" not in told("python", capsys)


@pytest.mark.parametrize("topic", TOPICS)
def test_it_fits_on_a_terminal_and_has_no_marks_of_docstrings(
    topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = told(topic, capsys)
    assert "``" not in text and not re.search(r"(?<![\w*])\*\w+\*", text)
    assert topic == "protocol" or max(map(len, text.splitlines())) <= WIDTH
