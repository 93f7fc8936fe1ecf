"""``gateway doctor``: is this installation going to behave?  One line a finding."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import output, parsing

if TYPE_CHECKING:
    from .checks.case import Case, Finding

ABOUT = """\
Say whether a gateway run with these options is going to behave here: who supervises it and when that kills,
the run directory and its lock, limits, the interpreter, the addresses.  It starts nothing and changes nothing.
Where the gateway runs already, it is the one that is looked at."""
END = """\
exit codes: 0 nothing will fail (a "warn" may), 1 something will not behave, 2 usage, 78 wrong configuration

example: gateway doctor httpbin:app --bind 0.0.0.0:8000 --stop-timeout 20"""


def register(verbs: Any, add_run_options: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the verb; it takes what ``run`` takes."""
    text = "see whether it is going to behave here"
    parser = parsing.make(verbs.add_parser, "doctor", help=text, description=ABOUT, epilog=END)
    add_run_options(parser)
    parser.add_argument(
        "--unit", default="", help="a unit of systemd (the system's or your own) that does not run yet"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(verb=doctor)


def doctor(args: argparse.Namespace) -> int:
    """Look at everything; 1 where something will not behave."""
    from .checks.case import Case
    from .logs import escape

    found = list(findings(Case.of(args, os.environ)))
    well = all(finding.state != "fail" for finding in found)
    if args.json:
        output.say(json.dumps({"ok": well, "findings": [finding._asdict() for finding in found]}))
    else:
        output.say("\n".join(escape(f"{each.state:<4}  {each.check:<15} {each.text}") for each in found))
    return 0 if well else 1


def findings(case: Case) -> Iterator[Finding]:
    """All of them, in order.  A check that fails itself is one as well."""
    from .checks import CHECKS
    from .checks.case import Finding

    for name, check in CHECKS.items():
        try:
            for state, text in check(case):
                yield Finding(name, state, text)
        except Exception as error:
            yield Finding(name, "fail", f"the check itself failed: {type(error).__name__}: {error}")
