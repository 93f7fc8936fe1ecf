"""``gateway help TOPIC``: the reference, made from the code that does what it says.  Nothing is written by hand."""

from __future__ import annotations

import argparse
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import output, parsing

WIDTH, LONGEST = 100, 26
Row = tuple[str, ...]


def show(args: argparse.Namespace) -> int:
    """One topic, or what topics there are."""
    if args.topic is None:
        rows = [(name, says) for name, (says, _) in TOPICS.items()]
        output.say("\n".join(["gateway help TOPIC, where TOPIC is one of", "", *table(rows)]))
        return 0
    says, make = TOPICS[args.topic]
    lines = make() if make else options(args.root)
    output.say("\n".join([f"{args.topic}: {says}", "", *lines]).rstrip())
    return 0


def table(rows: Iterable[Row], indent: str = "  ") -> list[str]:
    """*rows* in columns, the last of which is wrapped; a first cell that is long has a line of its own."""
    rows = [tuple(_plain(cell) for cell in row) for row in rows]
    fits = [row for row in rows if len(row) > 2 or len(row[0]) <= LONGEST] or rows
    widths = [max(len(row[at]) for row in fits) for at in range(len(rows[0]) - 1)]
    lines = []
    for *first, last in rows:
        head = indent + "".join(f"{cell:<{width}}  " for cell, width in zip(first, widths, strict=True))
        margin = " " * (len(indent) + sum(width + 2 for width in widths))
        if len(head) > len(margin):
            lines.append(head.rstrip())
            head = margin
        wrapped = textwrap.wrap(last, max(30, WIDTH - len(margin))) or [""]
        lines += [(head + wrapped[0]).rstrip(), *(margin + more for more in wrapped[1:])]
    return lines


def _plain(text: str) -> str:
    """Without the marks that a docstring has for code and for names."""
    return re.sub(r"(?<!\w)\*(\w+)\*", r"\1", text.replace("``", ""))


def options(root: argparse.ArgumentParser) -> Iterator[str]:
    """Every verb and option, from the parser itself."""
    verbs = next(a for a in root._actions if isinstance(a, argparse._SubParsersAction))
    for name, parser in verbs.choices.items():
        yield f"gateway {name}"
        yield from textwrap.wrap(parser.description or "", WIDTH, initial_indent="  ", subsequent_indent="  ")
        actions = [action for action in parser._actions if action.dest != "help"]
        yield from table([_option(action) for action in actions] or [("no options", "")], "    ")
        yield ""


def _option(action: argparse.Action) -> Row:
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    choices = "|".join(map(str, action.choices or ()))
    shown = choices if choices and len(choices) < 60 else str(value)
    names = ", ".join(action.option_strings)
    return f"{names} {shown if action.nargs != 0 else ''}".strip(), (action.help or "").replace("%%", "%")


def events() -> Iterator[str]:
    """What a callback, a watcher, the history and the page hear."""
    from ..core.events import KINDS, Event

    yield f"  every event has {', '.join(Event('', '', 0, 0, {}).as_dict())}; and by kind:"
    yield ""
    yield from table(KINDS.items())


def metrics() -> Iterator[str]:
    """What /metrics of the admin address gives."""
    from ..admin.metrics import CLASSES, METRICS
    from ..admin.tally import BUCKETS

    rows = [("name", "kind", "labels", "what it says")]
    for metric in METRICS:
        name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
        rows.append((name, metric.kind, ", ".join(metric.labels) or "-", metric.says))
    yield from table(rows)
    yield ""
    yield f"  buckets of histograms, in seconds: {', '.join(f'{bound:g}' for bound in BUCKETS)}"
    yield f"  at most {CLASSES} classes of lanes are told apart; the others are counted as other"


def exit_codes() -> Iterator[str]:
    """How a gateway ends; and the error classes."""
    from ..core import errors
    from ..core.endings import ENDINGS

    yield from table(
        [("code", "how it ends", "what the log says"), *((e.code, e.how, e.says) for e in ENDINGS)]
    )
    yield ""
    yield "  errors, and the code that a command ends with after each:"
    yield from table(_errors(errors.GatewayError), "    ")


def _errors(kind: Any, depth: int = 0) -> Iterator[Row]:
    says = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    yield "  " * depth + kind.__name__, str(kind.exit_code), says
    for each in kind.__subclasses__():
        if each.__module__ == kind.__module__:
            yield from _errors(each, depth + 1)


def signals() -> Iterator[str]:
    """What each signal asks for, and how stops escalate."""
    from ..core.endings import ESCALATION
    from ..system.inbox import RULES

    yield from table([("signal", "asks for", "what happens"), *RULES])
    yield ""
    yield from table(
        [("stop", "exit code", "what it does"), *((e.which, e.code, e.does) for e in ESCALATION)]
    )


def modes() -> Iterator[str]:
    """How the next life begins."""
    from ..core.plan import MODES

    yield from table([(mode.value, says) for mode, says in MODES.items()])


UNSEEN = "Not seen is one that starts it in the background, like monit: GATEWAY_SUPERVISOR=monit names it."
TOLD = "Not so under systemd with Type=notify and NotifyAccess=main, which is told of the fresh pid."


def supervisors() -> Iterator[str]:
    """Every supervisor that is known, how long it waits, and where a fresh pid would be wrong."""
    from ..system.supervisor.table import REASONS, TABLE

    head = ("supervisor", "kills after", "set by", "starts again after the exit codes")
    yield from table(
        [head, *((row.name, _seconds(row.kills_after), row.setting or "-", row.again) for row in TABLE)]
    )
    yield from ("", f"  {UNSEEN}", "")
    yield "  spawn and overlap become exec, which keeps the pid, for one of these reasons:"
    yield ""
    yield from table(REASONS)
    yield from ("", f"  {TOLD}")


def _seconds(number: float) -> str:
    return "never" if math.isinf(number) else f"{number:g} s"


def protocol() -> Iterator[str]:
    """What is said on the control socket."""
    import inspect  # 10 ms that no other verb has to pay

    from .. import control
    from ..control.protocol import ERRORS

    text = inspect.cleandoc(control.__doc__ or "")
    yield from (f"  {line}".rstrip() for line in text.splitlines())
    yield ""
    yield "  words for why something was refused:"
    yield from table(ERRORS.items(), "    ")


def python() -> Iterator[str]:
    """What a program imports."""
    from . import library  # it imports inspect, too

    yield from library.pages(WIDTH)


#: topic -> what it is about, and how it is made (None: from the parser)
TOPICS: dict[str, tuple[str, Callable[[], Iterator[str]] | None]] = {
    "options": ("every verb and option", None),
    "events": ("what is told to callbacks, watchers, the history and the page", events),
    "metrics": ("what Prometheus gets", metrics),
    "exit-codes": ("how a gateway ends, and the error classes", exit_codes),
    "signals": ("what each signal asks for, and how stops escalate", signals),
    "modes": ("how the next life of a restart begins", modes),
    "supervisors": ("who is known, how long each waits, and where the pid must stay", supervisors),
    "python": ("what a program imports, with what each thing takes, gives and raises", python),
    "protocol": ("what is said on the control socket", protocol),
}


def register(verbs: Any, root: argparse.ArgumentParser) -> None:
    """``help``; *root* is the parser that it tells of."""
    text = "The reference, made from the code: without TOPIC, what topics there are."
    parser = parsing.make(verbs.add_parser, "help", help="the reference", description=text)
    parser.set_defaults(verb=show, root=root)
    parser.add_argument("topic", nargs="?", choices=list(TOPICS), metavar="TOPIC", help=", ".join(TOPICS))
