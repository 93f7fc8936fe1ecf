"""What a gateway is doing, in words."""

from __future__ import annotations

import time
from typing import Any

from ..core import sentences
from .terminal import Paint
from .words import Facts, clock, count, printable, span

MOST = 10  # items that are shown one by one
COLOUR = {"serving": "good", "parked": "bad", "exited": "bad"}
LABEL = 14  # columns


def page(facts: Facts, paint: Paint) -> list[str]:
    """The status for people; the first line is the one that a hurried one reads."""
    name, phase = printable(facts["name"]), printable(facts["phase"])
    first = f'gateway "{name}" is {paint(phase, COLOUR.get(phase, "wait"))}{printable(_why(facts))}'
    rows = [*_process(facts), *_progress(facts), *_work(facts), *_past(facts)]
    return [first, *(f"  {paint(label.ljust(LABEL), 'dim')}{printable(text)}" for label, text in rows)]


def row(facts: Facts) -> list[str]:
    """The status in the words of a table: name, phase, pid, life, up for, work, address."""
    work = f"{facts['tasks_active']}+{facts['tasks_queued']}+{len(facts['runs'])}"
    where = ", ".join(facts["addresses"])
    words = (facts["name"], facts["phase"], facts["pid"], facts["life"], span(facts["uptime"]), work, where)
    return [printable(word) for word in words]


def progress(facts: Facts) -> str:
    """What is under way, on one line: phase, what is left, how long, the oldest item."""
    drain, left = facts.get("drain"), facts["time_left"]
    until = "" if left is None else f", {clock(left)} to the deadline"
    if drain:
        oldest = f"; oldest: {item(drain['oldest'])}" if drain["oldest"] else ""
        return printable(f"{facts['phase']}: {_left(drain)} left{until}{oldest}")
    if facts["proving"]:
        return "checking the next version; the old one serves"
    if facts["phase"] in ("starting", "respawning"):
        return f"the next life starts{until}"
    return printable(f"{facts['phase']}{until}")


def progress_key(facts: Facts) -> tuple[Any, ...]:
    """What makes two of these lines different for somebody who reads them in a file."""
    drain = facts.get("drain") or {"tasks": 0, "runs": 0, "oldest": None}
    oldest = drain["oldest"] and drain["oldest"]["id"]
    return facts["phase"], facts["proving"], drain["tasks"], drain["runs"], oldest


def older(facts: Facts, seconds: float) -> Facts:
    """*facts* as they are *seconds* later, as far as clocks alone can tell."""

    def aged(thing: Facts | None, **steps: float) -> Facts | None:
        if thing is None:
            return None
        return {
            **thing,
            **{key: max(0.0, thing[key] + step) for key, step in steps.items() if thing[key] is not None},
        }

    drain = aged(facts.get("drain"), time_left=-seconds)
    if drain:
        drain["oldest"] = aged(drain["oldest"], age=seconds)
    items = [aged(each, age=seconds) for each in facts.get("items", ())]
    later = aged(facts, time_left=-seconds, uptime=seconds, life_uptime=seconds)
    return {
        **(later or {}),
        "drain": drain,
        "items": items,
        "quiet": aged(facts.get("quiet"), time_left=-seconds),
    }


def item(facts: Facts) -> str:
    """``task "chat-7" work, running for 12 s (2.17)``."""
    return f"{facts['name']}, {facts['state']} for {clock(facts['age'])} ({facts['id']})"


def _why(facts: Facts) -> str:
    quiet = facts.get("quiet")
    if quiet:
        reason = f": {quiet['reason']}" if quiet["reason"] else ""
        return f"{reason}; it resumes in {clock(quiet['time_left'])}"
    left = facts["time_left"]
    until = "" if left is None else f"; {clock(left)} left"
    return (f": {facts['reason']}" if facts["reason"] else "") + until


def _process(facts: Facts) -> list[tuple[str, str]]:
    life = facts["life_uptime"]
    serving = "" if life is None else f" for {span(life)}"
    return [
        ("process", f"pid {facts['pid']}, life {facts['life']}{serving}, up for {span(facts['uptime'])}"),
        ("address", ", ".join(facts["addresses"]) or "none"),
        ("restart mode", facts["restart_mode"]),
    ]


def _progress(facts: Facts) -> list[tuple[str, str]]:
    under_way = facts.get("under_way")
    rows = (
        [("under way", f"{under_way['action']}, asked by {sentences.who(under_way, brief=True)}")]
        if under_way
        else []
    )
    if facts.get("drain") or facts["proving"]:
        rows.append(("", progress(facts)))
    return rows


def _work(facts: Facts) -> list[tuple[str, str]]:
    active, queued, runs = facts["tasks_active"], facts["tasks_queued"], len(facts["runs"])
    rows = [("work", f"{active} running, {queued} waiting, {count(runs, 'run')}")]
    items = facts.get("items", [])
    rows += [
        ("", f"{each['id']:<7}{each['name']}, {each['state']} for {clock(each['age'])}")
        for each in items[:MOST]
    ]
    more = active + queued + runs - min(len(items), MOST)
    if items and more > 0:
        rows.append(("", f"and {more} more"))
    busiest = sorted(facts["lanes"].items(), key=lambda pair: -pair[1])[:5]
    if len(facts["lanes"]) > 1:
        rows.append(("busiest lanes", ", ".join(f"{lane} {size}" for lane, size in busiest)))
    return rows


def _past(facts: Facts) -> list[tuple[str, str]]:
    rows = []
    last = facts.get("last_restart")
    if last:
        ago = span(max(0.0, time.time() - last["at"]))
        rows.append(("last restart", f"{ago} ago: {sentences.ended(last, brief=True)}"))
    if facts.get("last_end"):
        rows.append(("earlier", f"the one before: {facts['last_end']}"))
    return rows


def _left(drain: Facts) -> str:
    parts = [count(drain[key], word) for key, word in (("tasks", "task"), ("runs", "run")) if drain[key]]
    return " and ".join(parts) or "nothing"
