"""``gateway quiet``, ``resume`` and ``cancel``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ..core.plan import QUIET_LIMIT
from . import output, parsing
from .asking import ask
from .words import printable

QUIET = """\
Take no new work for a while: readiness fails, new tasks are refused, no connection is accepted (those that
come wait in the kernel's queue). What was accepted goes on. It ends by itself; a restart or stop ends it too."""
QUIET_END = """\
exit codes: 0 it is quiet, 1 it is not (the reason is told), 3 no gateway of this name runs

example: gateway quiet --for 120 --reason "moving the database" """
RESUME = "Take new work again, before the time of the quiet is over."
RESUME_END = """\
exit codes: 0 it serves, 1 it does not, 3 no gateway of this name runs

example: gateway resume --reason "the database has moved" """
CANCEL = """\
Cancel one task that waits in its lane, or ask one run to give up. ID is what `gateway status` shows before
it. A task that runs cannot be cancelled."""
CANCEL_END = """\
exit codes: 0 it is cancelled, or was asked to give up; 1 it is not; 3 no gateway of this name runs

example: gateway cancel 1.7"""


def register(verbs: Any, environ: Mapping[str, str]) -> None:
    """The verbs of this room."""
    parser = parsing.make(
        verbs.add_parser, "quiet", help="take no new work for a while", description=QUIET, epilog=QUIET_END
    )
    parser.add_argument(
        "--for", dest="limit", type=float, default=QUIET_LIMIT, metavar="S",
        help=f"for so long, then it resumes by itself ({QUIET_LIMIT:g} s; a day at most)",
    )  # fmt: skip
    _finish(parser, quiet, environ)
    parser = parsing.make(
        verbs.add_parser, "resume", help="take new work again", description=RESUME, epilog=RESUME_END
    )
    _finish(parser, resume, environ)
    parser = parsing.make(
        verbs.add_parser, "cancel", help="be rid of one task or run", description=CANCEL, epilog=CANCEL_END
    )
    parser.add_argument("item", metavar="ID", help="which one, as status shows it")
    _finish(parser, cancel, environ)


def _finish(parser: argparse.ArgumentParser, verb: Any, environ: Mapping[str, str]) -> None:
    parser.set_defaults(verb=verb)
    parsing.whom(parser, environ)
    parsing.reason(parser)
    parsing.patience(parser, 10.0)


def quiet(args: argparse.Namespace) -> int:
    """No new work for a while."""
    return _say(args, "quiet", limit=args.limit)


def resume(args: argparse.Namespace) -> int:
    """New work again."""
    return _say(args, "resume")


def cancel(args: argparse.Namespace) -> int:
    """One task or run."""
    return _say(args, "cancel", item=args.item)


def _say(args: argparse.Namespace, verb: str, **facts: Any) -> int:
    talking, answer = ask(args, verb, reason=args.reason, **facts)
    talking.close()
    output.say(printable(answer["text"]))
    return 0
