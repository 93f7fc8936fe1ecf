"""``gateway status``, once or live, and ``gateway list``."""

from __future__ import annotations

import argparse
import json
import os
import selectors
import sys
import time
from collections.abc import Mapping
from typing import Any

from ..core.deadline import Deadline
from ..core.ends import ends
from ..core.errors import GatewayError, NotRunningError
from ..core.plan import Phase
from ..system.history import History, still_runs
from . import output, parsing, show
from .asking import NoAnswerError, ask, deadline_of, run_dir, socket_path
from .stream import AGAIN, Stream
from .terminal import Block, Paint
from .words import Facts, printable, span

TURN = 1.0  # seconds between two drawings
GONE = 3.0  # seconds without anybody who answers, after which a gateway that was watched has ended


#: the main thread is in ``start()``, or on its way there, and the watchdog watches over it
STARTING = (Phase.STARTING.value, Phase.RESPAWNING.value)

TEXT = """\
Tell what a running gateway is doing.  A plain one says so of any gateway, whatever its state; for probes there are
--live, which fails when the main loop is stuck (not while a gateway starts, drains or is parked: killing it would
cost what it does), and --ready, which fails unless it takes new work as well."""
END = """\
exit codes: 0 it runs (and is what was asked for), or a --watch was interrupted; 1 it is not --live or not --ready,
or does not answer in --timeout; 3 no gateway of this name runs, or the one watched has ended

examples:
  gateway status --json
  gateway status --ready --timeout 5
  gateway status --watch"""


def register(verbs: Any, environ: Mapping[str, str]) -> None:
    """The verb of this room."""
    parser = parsing.make(verbs.add_parser, "status", help="what it is doing", description=TEXT, epilog=END)
    parser.set_defaults(verb=status)
    parsing.whom(parser, environ)
    parser.add_argument("--json", action="store_true", help="one JSON object; with --watch one a line")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--watch", action="store_true", help="go on showing it, until it has ended or Ctrl-C")
    which.add_argument("--live", action="store_true", help="1 unless its main loop moves, or it starts")
    which.add_argument(
        "--ready", action="store_true", help="1 unless its main loop moves, and it takes new work"
    )
    parsing.patience(parser, 10.0)


def status(args: argparse.Namespace) -> int:
    """What it is doing, for people or as JSON."""
    try:
        return _watch(args) if args.watch else _once(args)
    except NotRunningError as error:
        raise NotRunningError(error.name, error.run_dir, printable(_last_end(args))) from None


def _once(args: argparse.Namespace) -> int:
    _, answer = ask(args, "status")
    facts = {**answer["status"], "last_end": _last_end(args)}
    if args.json:
        output.say(json.dumps(facts))
    else:
        output.say("\n".join(show.page(facts, Paint(sys.stdout, os.environ))))
    if args.ready and not facts["ready"]:
        raise GatewayError(f'gateway "{args.name}" is not ready: {_why_not(facts)}')
    if args.live or args.ready:
        _prove(args, facts)
    return 0


def _why_not(facts: Facts) -> str:
    """Its phase and its reason, on one line."""
    return printable(f"{facts['phase']}: {facts['reason']}" if facts.get("reason") else facts["phase"])


def _prove(args: argparse.Namespace, facts: Facts) -> None:
    """A thread beside its main loop has told the *facts*: the loop has to answer as well.  GatewayError."""
    if facts["phase"] in STARTING:
        return
    try:
        ask(args, "ping")[0].close()
    except NoAnswerError:
        if args.live and ask(args, "status")[1]["status"]["phase"] in STARTING:
            return  # since our question
        why = f"its main loop has not moved for {args.timeout:g} s"
        raise GatewayError(f'gateway "{args.name}" is stuck: {why}') from None


def _watch(args: argparse.Namespace) -> int:
    """Until somebody interrupts it, or the gateway has ended."""
    stream = Stream(socket_path(args), args.name, _say_json if args.json else lambda said: None)
    block = Block(None if args.json else sys.stdout, os.environ)
    deadline = deadline_of(args)
    try:
        stream.open()
        while _turn(stream):
            _show(block, stream.facts())
            _ensure_seen(block)
            if stream.refusal or (stream.facts() is None and deadline.passed()):
                why = stream.refusal or f"it has not answered within {args.timeout:g} s"
                raise GatewayError(f'gateway "{args.name}": {why}')
    except KeyboardInterrupt:
        return 0
    finally:
        block.leave()
        stream.close()
    raise NotRunningError(args.name, run_dir(args).path)


def _show(block: Block, facts: Facts | None) -> None:
    if facts:
        block.show(show.page(facts, Paint(None, {})), show.progress_key(facts), show.progress(facts))


def _ensure_seen(block: Block) -> None:
    """It has nothing to do but to be looked at.  BrokenPipeError, GatewayError."""
    if block.fault:
        output.fail(block.fault)
    output.ensure_reader()


def _turn(stream: Stream) -> bool:
    """Wait for the next word, or for the next drawing; False when nobody answers any more."""
    until = Deadline.after(GONE)
    while (talking := stream.connect()) is None:
        if until.passed():
            return False
        time.sleep(AGAIN)  # nobody can tell us when somebody listens there again
    with selectors.DefaultSelector() as selector:
        selector.register(talking, selectors.EVENT_READ)
        if selector.select(TURN):
            stream.read()
    return True


def _say_json(said: Facts) -> None:
    """One object a line: what happens, and the status in between ("event": "status")."""
    kept = {key: value for key, value in said.items() if key not in ("v", "ok", "text")}
    output.say(json.dumps({"event": "status", **kept} if "status" in kept else kept))


def _last_end(args: argparse.Namespace) -> str:
    """How the last process of this gateway ended, and how long ago; empty where nobody knows."""
    every = ends(History(run_dir(args), args.name).records(), still_runs)
    return f"{every[-1].text}, {span(max(0.0, time.time() - every[-1].at))} ago" if every else ""
