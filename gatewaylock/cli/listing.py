"""``gateway list``: every gateway of this user."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from ..control.client import talk
from ..core.deadline import Deadline
from ..core.errors import GatewayError, NotRunningError
from ..system.rundir import NAME, RunDir
from . import output, parsing, show
from .asking import run_dir
from .terminal import Paint
from .words import Facts, printable

EACH = 2.0  # seconds for a gateway to answer
STRANGE = "it says something else than its status"
HEAD = ("NAME", "STATE", "PID", "LIFE", "UP FOR", "WORK", "ADDRESS")
TEXT = """\
Show every gateway of this user, or of --run-dir: one line each.
WORK is running+waiting tasks and runs, as in 3+12+1."""
END = "exit codes: 0 also where none runs\n\nexample: gateway list --json"


def register(verbs: Any, environ: Mapping[str, str]) -> None:
    """The verb of this room."""
    parser = parsing.make(
        verbs.add_parser, "list", help="every gateway of this user", description=TEXT, epilog=END
    )
    parser.set_defaults(verb=every)
    parsing.where(parser)
    parser.add_argument("--names", action="store_true", help="names and nothing else")
    parser.add_argument("--json", action="store_true", help="one JSON list of what status --json prints")


def every(args: argparse.Namespace) -> int:
    """All of them, by name."""
    where = run_dir(args)
    answers = [_status(where, name) for name in _names(where)]
    found = [facts for facts in answers if facts]
    if args.json:
        output.say(json.dumps(found))
    elif args.names:
        for facts in found:
            output.say(facts["name"])
    elif found:
        output.say("\n".join(_table(found)))
    else:
        output.say(f"no gateway is running in {printable(where.path)}")
    return 0


def _names(where: RunDir) -> list[str]:
    """Of whatever has a control socket, also one that nobody listens at any more."""
    try:
        files = os.listdir(where.path)
    except PermissionError as error:
        raise GatewayError(f"{where.path}: {error.strerror}: only its owner and root may look") from None
    except OSError:
        return []
    names = [file.removesuffix(".sock") for file in files if file.endswith(".sock")]
    return sorted(name for name in names if NAME.fullmatch(name))


def _status(where: RunDir, name: str) -> Facts | None:
    """None for one that does not run; one that does not answer is listed with what is wrong."""
    try:
        talking = talk(where.socket_path(name), name, Deadline.after(EACH))
        try:
            answer = talking.ask("status")
        finally:
            talking.close()
    except NotRunningError:
        return None
    except (GatewayError, TimeoutError, OSError) as error:
        return {"name": name, "phase": None, "fault": str(error) or type(error).__name__}
    status = answer.get("status")
    if not isinstance(status, dict) or "phase" not in status:
        return {"name": name, "phase": None, "fault": str(answer.get("text") or STRANGE)}
    return {**status, "name": name}  # of the file, which is a name by rule: shells complete it


def _table(found: list[Facts]) -> list[str]:
    rows = [HEAD, *(_row(facts) for facts in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) for row in rows]
    paint = Paint(sys.stdout, os.environ)
    return [paint(lines[0].rstrip(), "dim"), *(line.rstrip() for line in lines[1:])]


def _row(facts: Facts) -> tuple[str, ...]:
    fault = facts.get("fault", STRANGE)
    try:
        if facts["phase"] is not None:
            return tuple(show.row(facts))
    except (LookupError, TypeError, ValueError):
        pass  # of another version, or no gateway at all: the others are listed all the same
    return (facts["name"], "no answer", "", "", "", "", printable(fault))
