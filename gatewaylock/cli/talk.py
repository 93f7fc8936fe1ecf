"""``gateway stop`` and ``gateway restart``: ask, and wait for the end of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Any

from ..control.client import GoneError
from ..core.errors import GatewayError
from ..core.plan import Mode
from . import output, parsing
from .asking import EndedError, ask, deadline_of, socket_path
from .follow import Follow
from .terminal import is_terminal
from .words import Facts, printable

MODES = [mode.value for mode in Mode]
STOP = "Stop a running gateway, and wait until it has stopped: drain, close, exit 0."
STOP_END = """\
A second `gateway stop` while the first waits skips the rest of the drain, a third ends it at once.
While it waits it shows what for; Ctrl-C ends the waiting, not the stop.

exit codes: 0 stopped, 3 no gateway of this name runs, 1 it did not stop in --timeout

example: gateway stop --name bot"""
RESTART = "Restart a running gateway, and wait until its next life serves."
RESTART_END = """\
The next version is loaded in a child process first: a broken one is refused and the old one serves on.
While it waits it shows what for; Ctrl-C ends the waiting, not the restart.

exit codes: 0 the next life serves, 1 it does not (the reason is told), 3 no gateway of this name runs

example: gateway restart --reason "new release" """


def register(verbs: Any, environ: Mapping[str, str]) -> None:
    """The verbs of this room."""
    parser = parsing.make(
        verbs.add_parser, "stop", help="drain, close, exit", description=STOP, epilog=STOP_END
    )
    parser.set_defaults(verb=stop)
    parsing.whom(parser, environ)
    parser.add_argument("--now", action="store_true", help="do not wait for what is under way")
    parsing.reason(parser)
    parsing.patience(parser, None)
    parser = parsing.make(
        verbs.add_parser, "restart", help="drain, close, come back", description=RESTART, epilog=RESTART_END
    )
    parser.set_defaults(verb=restart)
    parsing.whom(parser, environ)
    parsing.reason(parser)
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the next life")
    parser.add_argument("--mode", choices=MODES, help="another restart mode, this once")
    parser.add_argument("--force", action="store_true", help="do not load the next version in a child first")
    parsing.patience(parser, None)


def stop(args: argparse.Namespace) -> int:
    """Stop it and wait for the end."""
    try:
        last = _ask_and_wait(args, "stop", reason=args.reason, force=args.now)
    except (GoneError, EndedError):
        output.say("it has ended, without saying goodbye: see its log")
        return 0
    output.say(printable(last["text"]))
    return 0 if last["done"] == "stop" else 1


def restart(args: argparse.Namespace) -> int:
    """Restart it and wait until the next life serves."""
    facts = {"reason": args.reason, "mode": args.mode, "force": args.force}
    if args.no_wait:
        _, answer = ask(args, "restart", **facts)
        output.say(printable(answer["text"]))
        return 0
    try:
        last = _ask_and_wait(args, "restart", **facts)
    except GoneError:
        raise GatewayError("the gateway has ended in its restart: see its log") from None
    if last["done"] != "restart":
        raise GatewayError(printable(last["text"]))
    output.say(printable(last["text"]))
    return 0


def _ask_and_wait(args: argparse.Namespace, verb: str, **facts: Any) -> Facts:
    """The last line: how it ended."""
    deadline = deadline_of(args)
    try:
        talking, answer = ask(args, verb, wait=True, **facts)
        output.note(printable(answer["text"]))
        return Follow(talking, socket_path(args), args.name).outcome(deadline)
    except KeyboardInterrupt:
        over = "\r" if is_terminal(sys.stderr, os.environ) else ""  # over the ^C that it shows
        output.note(f"{over}no longer waiting; the {verb} goes on: see gateway status")
        raise
    except TimeoutError:
        raise GatewayError(
            f"the {verb} is still under way after {args.timeout:g} s: see gateway status"
        ) from None
