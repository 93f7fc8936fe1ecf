"""One question to a running gateway, and its first answer."""

from __future__ import annotations

import argparse
import os
from typing import Any

from ..control.client import GoneError, Talk, talk
from ..core.deadline import NEVER, Deadline
from ..core.errors import GatewayError, NotRunningError
from ..system.rundir import RunDir, check_name, default_run_dir
from .words import Facts, printable

LONGEST = 1e6  # seconds


class EndedError(NotRunningError):
    """It was running, and has ended between our question and its answer."""


class NoAnswerError(GatewayError):
    """It runs, and has said nothing in time."""


def run_dir(args: argparse.Namespace) -> RunDir:
    """Where the gateways of this user are; not checked, and not made."""
    return RunDir(os.path.abspath(args.run_dir or default_run_dir(os.environ)))


def socket_path(args: argparse.Namespace) -> str:
    """Where the gateway that is meant listens.  ConfigError for a name that none can have."""
    return run_dir(args).socket_path(check_name(args.name))


def deadline_of(args: argparse.Namespace) -> Deadline:
    """From now on.  The kernel counts no further than a month: what is longer has no limit."""
    if args.timeout is None or args.timeout > LONGEST:
        return NEVER
    return Deadline.after(max(0.001, args.timeout))


def ask(args: argparse.Namespace, verb: str, **facts: Any) -> tuple[Talk, Facts]:
    """The conversation and the first answer.  GatewayError when that is a no, or there is none."""
    try:
        talking, answer = _first_answer(socket_path(args), args.name, deadline_of(args), verb, facts)
    except TimeoutError:
        raise NoAnswerError(f'gateway "{args.name}" has not answered within {args.timeout:g} s') from None
    if not answer.get("ok"):
        talking.close()
        raise GatewayError(printable(answer.get("text")))
    return talking, answer


def _first_answer(
    path: str, name: str, deadline: Deadline, verb: str, facts: dict[str, Any]
) -> tuple[Talk, Facts]:
    talking = talk(path, name, deadline)
    try:
        return talking, talking.ask(verb, **facts)
    except GoneError:
        # The image changed between our question and its answer: it was not heard, so ask the next one.
        talking.close()
        talking = _again(path, name, deadline)
        return talking, talking.ask(verb, **facts)


def _again(path: str, name: str, deadline: Deadline) -> Talk:
    try:
        return talk(path, name, deadline)
    except NotRunningError as error:
        raise EndedError(error.name, error.run_dir) from None
