"""The scripts for completion, one function a shell.

Nothing in them comes from a client: verbs, options and help are ours, names of gateways are letters, digits,
dots and dashes by rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .completion import Option, Verb

NAMES = "gateway list --names 2>/dev/null"

BASH = """\
# completion of gateway for bash; written by: gateway completion bash
_gateway() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words= IFS=$' \\n'
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='{verbs} --help --version'
    else
        case "${{COMP_WORDS[1]}} $prev" in
{values}
        *)
            case "${{COMP_WORDS[1]}}" in
{options}
            esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -F _gateway gateway"""

ZSH = """\
#compdef gateway
# completion of gateway for zsh; written by: gateway completion zsh
_gateway() {{
    local -a verbs
    if (( CURRENT == 2 )); then
        verbs=(
{verbs}
        )
        _describe -t verbs 'verb' verbs
        return
    fi
    local verb=$words[2]
    shift words
    (( CURRENT-- ))
    case $verb in
{cases}
    esac
}}
if [ "$funcstack[1]" = _gateway ]; then _gateway "$@"; else compdef _gateway gateway; fi"""


def bash(verbs: Sequence[Verb]) -> str:
    """For ``eval`` in ~/.bashrc."""
    values, options = [], []
    for verb in verbs:
        for option in verb.options:
            if option.value:
                patterns = "|".join(_quoted(f"{verb.name} {flag}") for flag in option.flags)
                values.append(f"        {patterns}) {_bash_value(option.value)} ;;")
        flags = " ".join(flag for option in verb.options for flag in option.flags if flag != "-h")
        more = f"{verb.word} " if verb.word != "any" else ""
        options.append(f"            {verb.name}) words={_quoted(more + flags)} ;;")
    names = " ".join(verb.name for verb in verbs)
    return BASH.format(verbs=names, values="\n".join(values), options="\n".join(options))


def _bash_value(value: str) -> str:
    known = {
        "any": "return",
        "directory": "compopt -o filenames; IFS=$'\\n'; COMPREPLY=($(compgen -d -- \"$cur\")); return",
        "gateway": f"words=$({NAMES})",
    }
    return known.get(value, f"words={_quoted(value)}")


def zsh(verbs: Sequence[Verb]) -> str:
    """For a file ``_gateway`` in a directory of $fpath, or for ``source``."""
    lines = [f"            {_quoted(f'{verb.name}:{_zsh_text(verb.help)}')}" for verb in verbs]
    cases = []
    for verb in verbs:
        words = [_zsh_option(option) for option in verb.options]
        words += [_quoted(f"1:{_zsh_text(verb.name)}:{_zsh_value(verb.word)}")] if verb.word else []
        cases.append(f"    {verb.name}) _arguments " + " \\\n        ".join(words) + " ;;")
    return ZSH.format(verbs="\n".join(lines), cases="\n".join(cases))


def _zsh_option(option: Option) -> str:
    flag, says = option.flags[-1], f"[{_zsh_text(option.help)}]"
    value = f":value:{_zsh_value(option.value)}" if option.value else ""
    return _quoted(f"{flag}{says}{value}")


def _zsh_value(value: str) -> str:
    known = {"any": " ", "directory": "_files -/", "gateway": f"{{compadd -- $({NAMES})}}"}
    return known.get(value, f"({value})")


def _zsh_text(text: str) -> str:
    for special in "\\:[]":
        text = text.replace(special, "\\" + special)
    return text


def fish(verbs: Sequence[Verb]) -> str:
    """For a file in ~/.config/fish/completions."""
    lines = [
        "# completion of gateway for fish; written by: gateway completion fish",
        "complete -c gateway -f",
    ]
    lines += [
        f"complete -c gateway -n __fish_use_subcommand -a {verb.name} -d {_fish(verb.help)}" for verb in verbs
    ]
    for verb in verbs:
        when = f"complete -c gateway -n '__fish_seen_subcommand_from {verb.name}'"
        if verb.word not in ("", "any"):
            lines.append(f"{when} -a {_fish(verb.word)}")
        lines += [f"{when} {_fish_option(option)}" for option in verb.options]
    return "\n".join(lines)


def _fish_option(option: Option) -> str:
    flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
    known = {
        "": "",
        "any": " -x",
        "directory": " -x -a '(__fish_complete_directories)'",
        "gateway": f" -x -a '({NAMES})'",
    }
    value = known.get(option.value, f" -x -a {_fish(option.value)}")
    return f"{flags}{value} -d {_fish(option.help)}"


def _fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _quoted(text: str) -> str:
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"


SCRIPTS: dict[str, Callable[[Sequence[Verb]], str]] = {"bash": bash, "fish": fish, "zsh": zsh}
