"""``gateway history``: what happened to a gateway, from the record that outlives it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..core import sentences
from ..core.ends import ends
from ..system.history import History, still_runs
from ..system.rundir import check_name
from . import output, parsing
from .asking import run_dir
from .words import Facts, printable

TEXT = "Show what happened to a gateway: its starts, what was asked of it and by whom, how that and it ended."
END = "exit codes: 0 also where nothing is known\n\nexample: gateway history --last 20"


def register(verbs: Any, environ: Mapping[str, str]) -> None:
    """The verb of this room."""
    parser = parsing.make(
        verbs.add_parser, "history", help="what happened to it", description=TEXT, epilog=END
    )
    parser.set_defaults(verb=history)
    parsing.whom(parser, environ)
    parser.add_argument("--last", type=int, default=50, metavar="N", help="no more than N lines (50; 0: all)")
    parser.add_argument("--json", action="store_true", help="the records as they are, one JSON object a line")


def history(args: argparse.Namespace) -> int:
    """The newest last."""
    records = History(run_dir(args), check_name(args.name)).records()
    lines = [json.dumps(record) for record in records] if args.json else _lines(records)
    shown = lines[-args.last :] if args.last > 0 else lines
    if shown:
        output.say("\n".join(shown))
    elif not args.json:
        output.say(f'nothing is known of a gateway "{args.name}" in {printable(run_dir(args).path)}')
    return 0


def _lines(records: list[Facts]) -> list[str]:
    """The records, and what no record says: that a process is gone without a word."""
    told = [(record["at"], _sentence(record)) for record in records]
    killed = [
        (end.at, f"start    {end.text}") for end in ends(records, still_runs) if "left no word" in end.text
    ]
    return [
        f"{_when(at)}  {printable(text)}"
        for at, text in sorted(told + killed, key=lambda one: one[0])
        if text
    ]


def _sentence(record: Facts) -> str:
    kind, account = record.get("event"), record.get("account")
    match kind:
        case "start":
            return f"start    life {record.get('life')} serves (pid {record.get('pid')}){_because(record)}"
        case "asked":
            return f"asked    {sentences.asked(record)}"
        case "outcome" if isinstance(account, Mapping):
            return f"outcome  {sentences.ended({**account, 'text': record.get('text')})}"
        case "failed":
            return f"failed   start() raised {sentences.line(record.get('text'))}"
        case "end" | "forced":
            return f"{kind:<8} {_end(record)}"
    return ""


def _end(record: Facts) -> str:
    names = record.get("left")
    left = ", ".join(str(name) for name in names) if isinstance(names, list) else ""
    text = sentences.line(record.get("text")) + _because(record) + (f"; unfinished: {left}" if left else "")
    return f"exit code {record.get('code')} (pid {record.get('pid')}): {text}"


def _because(record: Facts) -> str:
    return f", {sentences.line(record['why'])}" if record.get("why") else ""


def _when(at: float) -> str:
    return datetime.fromtimestamp(at).isoformat(sep=" ", timespec="seconds")
