"""``gateway completion SHELL``: what the shell needs to finish a command line, read off our parsers."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from . import output, parsing, shells

TEXT = "Print what lets a shell complete the verbs and options of gateway."
END = """\
examples:
  eval "$(gateway completion bash)"                                     in ~/.bashrc
  gateway completion zsh > ~/.zfunc/_gateway                            a directory of $fpath
  gateway completion fish > ~/.config/fish/completions/gateway.fish"""


class Option(NamedTuple):
    """One option: what it is called, what it is for, and what may follow."""

    flags: tuple[str, ...]
    help: str
    value: str  #: "", "any", "directory", "gateway" (the name of one), or words with spaces between


class Verb(NamedTuple):
    """One verb."""

    name: str
    help: str
    options: tuple[Option, ...]
    word: str  #: what follows that is no option: "", "any", or words with spaces between


def register(verbs: Any, root: argparse.ArgumentParser) -> None:
    """The verb of this room; *root* is the parser of them all."""
    parser = parsing.make(
        verbs.add_parser, "completion", help="for bash, zsh or fish", description=TEXT, epilog=END
    )
    parser.set_defaults(verb=completion, root=root)
    parser.add_argument("shell", choices=sorted(shells.SCRIPTS), metavar="SHELL", help="bash, zsh or fish")


def completion(args: argparse.Namespace) -> int:
    """The script."""
    output.say(shells.SCRIPTS[args.shell](described(args.root)))
    return 0


def described(root: argparse.ArgumentParser) -> tuple[Verb, ...]:
    """Every verb of *root*."""
    [verbs] = [action for action in root._actions if isinstance(action, argparse._SubParsersAction)]
    helps = {action.dest: action.help or "" for action in verbs._choices_actions}
    return tuple(_verb(name, helps.get(name, ""), parser) for name, parser in verbs.choices.items())


def _verb(name: str, says: str, parser: argparse.ArgumentParser) -> Verb:
    options = tuple(_option(action) for action in parser._actions if action.option_strings)
    words = [_follows(action) for action in parser._actions if not action.option_strings]
    return Verb(name, says, options, words[0] if words else "")


def _option(action: argparse.Action) -> Option:
    value = "" if action.nargs == 0 else _follows(action)
    return Option(tuple(action.option_strings), (action.help or "").replace("%%", "%"), value)


def _follows(action: argparse.Action) -> str:
    if action.choices is not None:
        return " ".join(str(choice) for choice in action.choices)
    return {"run_dir": "directory", "name": "gateway"}.get(action.dest, "any")
