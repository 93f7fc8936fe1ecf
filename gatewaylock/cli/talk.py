"""``gateway status``, ``stop`` and ``restart``: ask a running gateway."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from ..control.client import GoneError, Talk, talk
from ..core.deadline import NEVER, Deadline
from ..core.ends import ends
from ..core.errors import GatewayError, NotRunningError
from ..system.history import History, still_runs
from ..system.rundir import RunDir, check_name, default_run_dir
from . import output

UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def status(args: argparse.Namespace) -> int:
    """What it is doing, for people or as JSON."""
    try:
        _, answer = _ask(args, "status")
    except NotRunningError as error:
        raise NotRunningError(error.name, error.run_dir, _printable(_last_end(args))) from None
    facts = {**answer["status"], "last_end": _last_end(args)}
    output.say(json.dumps(facts) if args.json else "\n".join(_describe(facts)))
    return 0


def stop(args: argparse.Namespace) -> int:
    """Stop it and wait for the end."""
    try:
        last = _ask_and_wait(args, "stop", reason=args.reason, force=args.now)
    except GoneError:
        output.say("it has ended, without saying goodbye: see its log")
        return 0
    output.say(_printable(last["text"]))
    return 0 if last["done"] == "stop" else 1


def restart(args: argparse.Namespace) -> int:
    """Restart it and wait until the next life serves."""
    facts = {"reason": args.reason, "mode": args.mode, "force": args.force}
    if args.no_wait:
        _, answer = _ask(args, "restart", **facts)
        output.say(_printable(answer["text"]))
        return 0
    try:
        last = _ask_and_wait(args, "restart", **facts)
    except GoneError:
        raise GatewayError("the gateway has ended in its restart: see its log") from None
    if last["done"] != "restart":
        raise GatewayError(_printable(last["text"]))
    output.say(_printable(last["text"]))
    return 0


def _ask_and_wait(args: argparse.Namespace, verb: str, **facts: Any) -> dict[str, Any]:
    """The last line: how it ended."""
    try:
        talking, answer = _ask(args, verb, wait=True, **facts)
        print(_printable(answer["text"]), file=sys.stderr, flush=True)
        return talking.line()
    except KeyboardInterrupt:
        print(f"\nno longer waiting; the {verb} goes on: see gateway status", file=sys.stderr)
        raise
    except TimeoutError:
        raise GatewayError(
            f"the {verb} is still under way after {args.timeout:g} s: see gateway status"
        ) from None


def _ask(args: argparse.Namespace, verb: str, **facts: Any) -> tuple[Talk, dict[str, Any]]:
    """The conversation and the first answer.  GatewayError when that is a no."""
    path = RunDir(os.path.abspath(args.run_dir or default_run_dir(os.environ))).socket_path(
        check_name(args.name)
    )
    deadline = NEVER if args.timeout is None else Deadline.after(max(0.001, args.timeout))
    try:
        talking, answer = _first_answer(path, args.name, deadline, verb, facts)
    except TimeoutError:
        raise GatewayError(f'gateway "{args.name}" has not answered within {args.timeout:g} s') from None
    if not answer.get("ok"):
        raise GatewayError(_printable(str(answer.get("text"))))
    return talking, answer


def _first_answer(
    path: str, name: str, deadline: Deadline, verb: str, facts: dict[str, Any]
) -> tuple[Talk, dict[str, Any]]:
    talking = talk(path, name, deadline)
    try:
        return talking, talking.ask(verb, **facts)
    except GoneError:
        # The image changed between our question and its answer: it was not heard, so ask the next one.
        talking = talk(path, name, deadline)
        return talking, talking.ask(verb, **facts)


def _describe(facts: dict[str, Any]) -> list[str]:
    lines = [f'gateway "{facts["name"]}" is {facts["phase"]}{_why(facts)}']
    life = facts["life_uptime"]
    serving = "" if life is None else f" for {_span(life)}"
    lines.append(f"  pid {facts['pid']}, life {facts['life']}{serving}, up for {_span(facts['uptime'])}")
    lines.append(f"  listening on {', '.join(facts['addresses']) or 'nothing'}")
    work = f"{facts['tasks_active']} running, {facts['tasks_queued']} waiting, {len(facts['runs'])} run(s)"
    lines.append(f"  tasks: {work}")
    busiest = sorted(facts["lanes"].items(), key=lambda item: -item[1])[:5]
    lines += [f"    lane {lane}: {size}" for lane, size in busiest]
    lines.append(
        f"  restart mode {facts['restart_mode']}"
        + (", checking the next version" if facts["proving"] else "")
    )
    if facts["last_end"]:
        lines.append(f"  the one before: {facts['last_end']}")
    return [_printable(line) for line in lines]


def _last_end(args: argparse.Namespace) -> str:
    """How the last process of this gateway ended, and how long ago; empty where nobody knows."""
    where = RunDir(os.path.abspath(args.run_dir or default_run_dir(os.environ)))
    every = ends(History(where, args.name).records(), still_runs)
    return f"{every[-1].text}, {_span(max(0.0, time.time() - every[-1].at))} ago" if every else ""


def _why(facts: dict[str, Any]) -> str:
    left = facts["time_left"]
    until = "" if left is None else f"; {_span(left)} left"
    return (f": {facts['reason']}" if facts["reason"] else "") + until


def _span(seconds: float) -> str:
    for size, unit in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def _printable(text: str) -> str:
    """Nothing in a reason or a lane's name may steer the terminal; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
