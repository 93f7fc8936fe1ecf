"""The options, their environment variables and defaults, and what ``--help`` says."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.endings import ESCALATION
from ..core.limits import BUDGETS, Limits
from ..core.plan import Mode
from ..system.inbox import RULES
from ..system.supervisor.table import NAMES
from ..version import VERSION
from . import admin, completion, doctor, history, listing, look, parsing, reference, run, steering, talk, unit
from .binds import bind_argument, binds

BIND = "127.0.0.1:18789"
MODES = ["auto", *(mode.value for mode in Mode)]
SIGNALS = "\n".join(f"  {rule.signal:<8} {rule.action:<8} {rule.says}" for rule in RULES)
STOPS = "\n".join(f"  {which:<8} {does} (exit code {code})" for which, does, code in ESCALATION)
RUN = """\
Run a gateway until it is stopped: hold its name, serve, drain on stop and restart.
MODULE:ATTR is a WSGI application; without it the built-in status page is served."""
RUN_END = f"""\
signals:
{SIGNALS}

stops:
{STOPS}

exit codes:
  0  stopped    1  failed to start, forced to exit in a restart, or the lock was lost    2  usage
  78  another gateway holds the name, or the configuration is wrong: do not start again
  130, 143  third stop signal (SIGINT, SIGTERM)

environment, besides what the options name:
  GATEWAY_NO_RESPAWN=1   restart in the same process image (restart mode in-process)
  GATEWAY_ALLOW_MULTI=1  run without the lock, beside another gateway of the name
  GATEWAY_SUPERVISOR=X   who watches it, where that is not seen:
                         {" ".join(NAMES)}

examples:
  gateway run                                    the status page on {BIND}
  gateway run httpbin:app --bind 0.0.0.0:8000    a Flask application
  gateway run bot:start --factory --name bot     your own start(gateway) function"""
CHECK_END = """\
exit codes: 0 it loads, 78 there is no such thing, 1 loading it raises

example: gateway check httpbin:app"""


def build(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """The table of verbs and options, with the defaults that *environ* sets."""
    parser = parsing.make(
        argparse.ArgumentParser,
        prog="gateway",
        description="One gateway at a time, restarted without losing its work.",
    )
    parser.add_argument("--version", action="version", version=f"gatewaylock {VERSION}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _run(verbs, environ)
    _check(verbs)
    for room in (look, talk, steering, listing, history):
        room.register(verbs, environ)
    unit.register(verbs, lambda words: parse(["run", *words], environ))
    doctor.register(verbs, lambda parser: run_options(parser, environ))
    reference.register(verbs, parser)
    completion.register(verbs, parser)
    return parser


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """The options; ``verb`` is the function to call with them.  SystemExit(2) for a wrong usage."""
    parser = build(environ)
    args = parser.parse_args(argv)
    if hasattr(args, "bind"):
        if args.factory and not args.target:
            parser.error("--factory needs MODULE:ATTR")
        # One socket cannot be served twice.  The variable is read for run alone: a mistake in it must
        # not keep anybody from asking for the status.
        args.told_where = bool(args.bind or environ.get("GATEWAY_BIND"))
        args.bind = list(dict.fromkeys(args.bind or binds(environ.get("GATEWAY_BIND") or BIND)))
    return args


def _run(verbs: Any, environ: Mapping[str, str]) -> None:
    parser = parsing.make(
        verbs.add_parser, "run", help="run a gateway until it is stopped", description=RUN, epilog=RUN_END
    )
    parser.set_defaults(verb=run.run)
    run_options(parser, environ)


def run_options(parser: argparse.ArgumentParser, environ: Mapping[str, str]) -> None:
    """What ``run`` takes, and whoever speaks about a ``run``."""
    parser.add_argument("target", nargs="?", metavar="MODULE:ATTR", help="what to serve")
    parser.add_argument("--factory", action="store_true", help="ATTR is a function start(gateway)")
    parsing.whom(parser, environ)
    parser.add_argument(
        "--bind", action="append", type=bind_argument, metavar="HOST:PORT",
        help=f"listen there, on unix:PATH, or on systemd's socket fd:NAME; repeatable ({BIND}; GATEWAY_BIND)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=16, metavar="N", help="answer N requests at once (16)")
    parser.add_argument(
        "--restart-mode", choices=MODES, default=environ.get("GATEWAY_RESTART_MODE", "auto"),
        help="how the next life begins (auto: exec; GATEWAY_RESTART_MODE)",
    )  # fmt: skip
    parser.add_argument(
        "--restart-exit-code", type=int, default=0, metavar="N", help="what supervisor mode exits with (0)"
    )
    _budgets(parser)
    parser.add_argument(
        "--probation", type=float, default=2.0, metavar="S",
        help="an overlapping successor has to live this long before we leave (2 s)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-sigusr1", action="store_true", help="a bare SIGUSR1 restarts, without a permit"
    )
    parser.add_argument("--no-escalate", action="store_true", help="ignore further stops during a shutdown")
    parser.add_argument(
        "--log-format", choices=["text", "json"], default="text", help="lines on stderr (text)"
    )
    admin.add_options(parser)
    levels = ["debug", "info", "warning", "error"]
    parser.add_argument("--log-level", choices=levels, default="info", help="the least that is logged (info)")


def _budgets(parser: argparse.ArgumentParser) -> None:
    defaults = Limits()
    for name, says in BUDGETS.items():
        value = getattr(defaults, name)
        option = {"lame_duck": "--lame-duck", "backoff": "--backoff"}.get(name, f"--{name}-timeout")
        parser.add_argument(
            option, type=float, dest=f"{name}_timeout", metavar="S", help=f"{says} ({value:g} s)"
        )
    parser.add_argument(
        "--supervisor-timeout", type=float, metavar="S",
        help="from a supervisor's stop to its kill (as it says, or its default; GATEWAY_SUPERVISOR_TIMEOUT)",
    )  # fmt: skip


def _check(verbs: Any) -> None:
    text = "Load MODULE:ATTR as the next life of a gateway would, and say whether it can be served."
    parser = parsing.make(
        verbs.add_parser, "check", help="see whether it loads", description=text, epilog=CHECK_END
    )
    parser.set_defaults(verb=run.check)
    parser.add_argument("target", metavar="MODULE:ATTR", help="what to load")
    parser.add_argument("--factory", action="store_true", help="ATTR is a function start(gateway)")
