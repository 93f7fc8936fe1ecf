"""Completion, asked of the shells themselves."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from screens import terminal
from speaking import ROOT, environment, gateway

from gatewaylock.cli.completion import Option, Verb
from gatewaylock.cli.shells import SCRIPTS

CASES = [
    ("restart --mode ", {"exec", "spawn", "overlap", "supervisor", "in-process"}),
    ("completion ", {"bash", "fish", "zsh"}),
    ("quiet --fo", {"--for"}),
    ("status --wat", {"--watch"}),
    ("resta", {"restart"}),
]
EVIL = (
    Verb(
        "verb",
        "it's $(touch pwned) `x` [a:b] \\ %s {x}",
        (Option(("--o",), "it's 100% [x]: $(y)", "a b"),),
        "",
    ),
)


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")


def script(shell: str, where: Path) -> Path:
    done = gateway("completion", shell)
    assert done.returncode == 0, done.stderr
    file = where / ("_gateway" if shell == "zsh" else "script")
    file.write_text(done.stdout)
    return file


def said(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bash_completes_verbs_options_and_choices(tmp_path: Path) -> None:
    needs("bash")
    file = script("bash", tmp_path)
    for line, wanted in CASES:
        words = " ".join(map(shlex.quote, ["gateway", *line.split(" ")]))
        program = f"source {file}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _gateway"
        assert wanted <= set(said("bash", "-c", f"{program}; echo ${{COMPREPLY[@]}}").split()), line
    (tmp_path / "a dir").mkdir()
    words = f"gateway status --run-dir '{tmp_path}/a'"
    program = f"source {file}; compopt() {{ :; }}; COMP_WORDS=({words}); COMP_CWORD=3; _gateway"
    assert said("bash", "-c", program + "; printf '%s\\n' \"${COMPREPLY[@]}\"") == f"{tmp_path}/a dir\n"


def test_fish_completes_verbs_options_and_choices(tmp_path: Path) -> None:
    needs("fish")
    file = script("fish", tmp_path)
    for line, wanted in CASES:
        found = said("fish", "-c", f"source {file}; complete -C {shlex.quote('gateway ' + line)}")
        assert wanted <= {row.split("\t")[0] for row in found.splitlines()}, line


def test_zsh_completes_verbs_options_and_choices(tmp_path: Path) -> None:
    needs("zsh")
    script("zsh", tmp_path)
    setup = f"PS1='> '; fpath=({tmp_path} $fpath); autoload -U compinit; compinit -u -D; print rea''dy\n"
    with terminal("zsh", "-f", "-i", TERM="dumb") as screen:
        screen.types(setup)
        screen.shows("ready")
        screen.types("gateway status --wat\t")
        screen.shows("--watch")
        screen.types("\x15gateway completion \t")
        screen.shows("bash  fish  zsh")


@pytest.mark.parametrize("shell", sorted(SCRIPTS))
def test_a_script_is_valid_and_nothing_in_a_help_is_run(shell: str, tmp_path: Path) -> None:
    needs(shell)
    said(shell, "-n", script(shell, tmp_path))
    (tmp_path / "evil").write_text(SCRIPTS[shell](EVIL))
    if shell == "fish":
        said("sh", "-c", f"cd {tmp_path}; fish -c 'source evil; complete -C \"gateway \"'")
    elif shell == "bash":
        said("bash", "-c", f"cd {tmp_path}; source evil; COMP_WORDS=(gateway v); COMP_CWORD=1; _gateway")
    assert not (tmp_path / "pwned").exists()


def test_every_verb_and_option_is_in_every_script() -> None:
    helps = gateway("--help").stdout
    verbs = [line.split()[0] for line in helps.splitlines() if line.startswith("    ") and line[4] != " "]
    assert len(verbs) > 10
    for shell in SCRIPTS:
        text = gateway("completion", shell).stdout
        assert all(f"{verb}" in text for verb in verbs)
        assert "drain-timeout" in text and str(ROOT) not in text
