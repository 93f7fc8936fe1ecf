"""``gateway unit``: a complete file for a supervisor, for the very command line that it is given."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from ..core.errors import ConfigError
from . import output, parsing

Parse = Callable[[Sequence[str]], argparse.Namespace]

#: kind -> (the room that writes it, where the file belongs)
KINDS = {
    "systemd": ("systemd", "/etc/systemd/system/NAME.service"),
    "systemd-socket": ("systemd", "/etc/systemd/system/NAME.socket, beside the service"),
    "launchd": ("launchd", "/Library/LaunchDaemons/gatewaylock.NAME.plist"),
    "supervisord": ("supervisord", "/etc/supervisor/conf.d/NAME.conf"),
    "runit": ("scripts", "/etc/sv/NAME/run, with a link to it named finish"),
    "s6": ("scripts", "the service directory's run, with a link to it named finish"),
    "docker": ("containers", "compose.yaml"),
    "kubernetes": ("containers", "gateway.yaml"),
}
ABOUT = """\
Print a complete, commented file for a supervisor.  It runs `gateway run` with the options that follow,
from this directory, with this interpreter, as this user; its timeouts fit the budgets of these options."""
END = f"""\
kinds, and where the file belongs:
{chr(10).join(f"  {kind:<15} {where}" for kind, (_, where) in KINDS.items())}

exit codes: 0 printed, 2 usage, 78 something in it cannot be written in such a file

example: gateway unit systemd -- httpbin:app --bind 0.0.0.0:8000 --stop-timeout 20"""


def register(verbs: Any, parse: Parse) -> None:
    """Add the verb.  *parse* reads the words behind ``gateway run``."""
    text = "print a file for a supervisor"
    parser = parsing.make(verbs.add_parser, "unit", help=text, description=ABOUT, epilog=END)
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="options of `gateway run`")
    parser.set_defaults(verb=lambda args: unit(args, parse))


def unit(args: argparse.Namespace, parse: Parse) -> int:
    """Print it."""
    from .units.service import Service

    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    service = Service.of(words, parse(words), os.environ, _interpreter(), os.getcwd())
    room = import_module(f".units.{KINDS[args.kind][0]}", __package__)
    if os.environ.get("PYTHONPATH"):
        output.note("gateway: note: PYTHONPATH is set here, and not in the file")
    output.say(room.write(args.kind, service).rstrip("\n"))
    return 0


def _interpreter() -> str:
    """Its path as it was called: a virtual environment is known by that, and lost where links are followed."""
    if not sys.executable:
        raise ConfigError("this interpreter does not know its own path: call it by its full path")
    return os.path.abspath(sys.executable)
