"""The parts of the page that change, each a <section> with an id.  Whatever is foreign goes through ``safe``."""

from __future__ import annotations

from collections.abc import Callable

from ..core.facts import Item
from ..core.plan import Phase
from .view import Entry, Lane, Life, View
from .words import clock, count, hard, mood, safe, sentence, span, took

DOWNHILL = (Phase.LAME_DUCK, Phase.DRAINING, Phase.CLOSING, Phase.RESPAWNING)


def hero(view: View) -> str:
    """The state, who asked for it, and how far it has come."""
    status = view.status
    return (
        f'<section id="hero" class="hero {mood(status)}"><p class="name">{safe(status.name)}</p>'
        f'<h1><i class="dot"></i>{safe(sentence(status))}</h1>{_why(view)}{_progress(view)}</section>'
    )


def _why(view: View) -> str:
    status, account = view.status, view.status.under_way
    if status.quiet:
        asked = f"{safe(status.quiet.cause)}{_reason(status.quiet.reason)}"
        return f'<p class="why">{asked}; it ends by itself in {hard(span(status.quiet.time_left))}</p>'
    if account and status.phase in DOWNHILL:
        ago = hard(span(max(0.0, view.now - account.at)))
        return (
            f'<p class="why">asked for {ago}&nbsp;ago by {safe(account.cause)}{_reason(account.reason)}</p>'
        )
    if status.phase is Phase.SERVING:
        checked = "; the next version is being checked" if status.proving else ""
        since = hard(span(status.life_uptime))
        return f'<p class="why">for {since}, life {status.life}, pid {status.pid}{checked}</p>'
    return f'<p class="why">{safe(status.reason, 600)}</p>' if status.reason else ""


def _reason(reason: str) -> str:
    return f": “<bdi>{safe(reason, 200)}</bdi>”" if reason else ""


def _progress(view: View) -> str:
    """How much is left, and how long."""
    status, drain = view.status, view.status.drain
    numbers, bars = [], ""
    if drain:
        left = drain.tasks + drain.runs
        of = f" of {view.total}" if view.total and view.total >= left else ""
        numbers.append((f"{left}{of}", "left to end"))
        if view.total:
            bars = _bar("done", 1 - left / view.total if view.total else 0.0, 0.0, "how much has ended")
    until = drain.time_left if drain else status.time_left
    if until is not None:
        numbers.append((span(until), "until the rest is given up" if drain else "until it is ended by force"))
    cells = "".join(f"<div><dt>{says}</dt><dd>{hard(number)}</dd></div>" for number, says in numbers)
    return f'<dl class="numbers">{cells}</dl>{bars}' if cells else ""


def _bar(kind: str, first: float, second: float, says: str) -> str:
    """Two shares of a whole, one behind the other.  SVG, because the policy of the page forbids style attributes."""
    one, two = (100 * min(1.0, max(0.0, share)) for share in (first, second))
    return (
        f'<svg class="bar {kind}" role="img" aria-label="{safe(says)}"><rect class="all" width="100%"/>'
        f'<rect class="one" width="{one:.2f}%"/><rect class="two" x="{one:.2f}%" width="{two:.2f}%"/></svg>'
    )


def work(view: View) -> str:
    """Lanes and runs, the oldest first."""
    status = view.status
    runs = [item for item in status.items if item.kind == "run"]
    widest = max([lane.size for lane in view.lanes], default=1)
    rows = "".join(_lane(lane, widest) for lane in view.lanes)
    rows += f'<li class="more">and {count(view.more_lanes, "more lane")}</li>' if view.more_lanes else ""
    rows += "".join(_run(run, view) for run in runs)
    parts = [
        (status.tasks_active, f"{status.tasks_active} running"),
        (status.tasks_queued, f"{status.tasks_queued} waiting"),
        (len(status.runs), count(len(status.runs), "run")),
    ]
    total = ", ".join(says for number, says in parts if number) or "nothing under way"
    title = "What it waits for" if status.drain else "Work"
    body = f'<ul class="rows">{rows}</ul>' if rows else ""
    return f'<section id="work"><h2>{title} <small>{total}</small></h2>{body}{_items(view)}</section>'


def _lane(lane: Lane, widest: int) -> str:
    says = ", ".join(f"{n} {what}" for n, what in ((lane.running, "running"), (lane.queued, "waiting")) if n)
    age = f"oldest {hard(span(lane.oldest))}" if lane.oldest is not None else ""
    bar = _bar("lane", lane.running / widest, lane.queued / widest, says)
    name = f'<b><bdi title="{safe(lane.name)}">{safe(lane.name, 60)}</bdi></b>'
    return f'<li data-key="lane {safe(lane.name)}">{name}{bar}<span>{says}</span><small>{age}</small></li>'


def _run(run: Item, view: View) -> str:
    bar = _bar("run", 1.0, 0.0, "a run")
    return (
        f'<li data-key="run {safe(run.id)}"><b><bdi>{safe(run.name, 60)}</bdi></b>{bar}'
        f"<span>running</span><small>{hard(span(run.age))} {_cancel(run, view)}</small></li>"
    )


def _items(view: View) -> str:
    """One by one, for whoever may cancel them."""
    tasks = [item for item in view.status.items if item.kind == "task" and item.state == "queued"]
    if not (view.steers and tasks):
        return ""
    rows = "".join(
        f'<li data-key="item {safe(item.id)}"><b><bdi>{safe(item.name, 60)}</bdi></b>'
        f"<span>waiting for {hard(span(item.age))}</span><small>{_cancel(item, view)}</small></li>"
        for item in tasks
    )
    return (
        f'<details id="items"><summary>waiting, one by one</summary><ul class="items">{rows}</ul></details>'
    )


def _cancel(item: Item, view: View) -> str:
    if not view.steers:
        return ""
    return f'<button form="steer" name="cancel" value="{safe(item.id)}">cancel</button>'


def facts(view: View) -> str:
    """What one looks up."""
    status = view.status
    rows = [
        ("Process", str(status.pid)),
        ("Life", str(status.life)),
        ("Up for", hard(span(status.uptime))),
        ("This life", hard(span(status.life_uptime))),
        ("Listens on", safe(", ".join(status.addresses) or "nothing", 400)),
        ("Restart mode", safe(status.restart_mode)),
        ("Last restart", _last(view)),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<section id="facts"><h2>Process</h2><dl class="facts">{cells}</dl></section>'


def _last(view: View) -> str:
    last = view.status.last_restart
    if last is None:
        return "none yet"
    how = "worked" if last.ok else "failed"
    ago = f"{how} {hard(span(max(0.0, view.now - last.at)))}&nbsp;ago"
    return f"{ago}, took {hard(took(last.took))}" if last.took else ago


def history(view: View) -> str:
    """Lives as a line in time, and what happened to them in words."""
    rows = "".join(map(_entry, view.entries)) or '<li class="more">nothing has happened yet</li>'
    strip = _strip(view) if view.lives else ""
    return (
        f'<section id="history"><h2>Lives and restarts</h2>{strip}<ol class="history">{rows}</ol></section>'
    )


def _strip(view: View) -> str:
    first, now = view.lives[0].began, max(view.now, view.lives[0].began + 1)

    def at(when: float) -> float:
        return 99.75 * min(1.0, max(0.0, (when - first) / (now - first)))  # room for what begins just now

    marks = "".join(_life(life, at, now) for life in view.lives)
    begins = clock(first, "%m-%d %H:%M" if now - first > 43200 else "%H:%M:%S")
    return (
        f'<svg class="strip" role="img" aria-label="{count(len(view.lives), "life").replace("lifes", "lives")}">'
        f'{marks}</svg><p class="axis"><span>{begins}</span><span>now</span></p>'
    )


def _life(life: Life, at: Callable[[float], float], now: float) -> str:
    ended, left = life.ended or now, life.left or life.ended or now
    begins, leaves, ends = at(life.began), at(left), at(ended)
    says = f"life {life.number}, pid {life.pid}, {span(left - life.began)}"
    drain = (
        f'<rect class="leaving" x="{leaves:.3f}%" width="{max(0.25, ends - leaves):.3f}%"/>'
        if life.left
        else ""
    )
    kind = "life now" if life.left is None and life.ended is None else "life"
    body = f'<rect class="{kind}" x="{begins:.3f}%" width="{max(0.25, leaves - begins):.3f}%"/>'
    return f'<g data-key="life {life.number} {life.pid}"><title>{says}</title>{body}{drain}</g>'


def _entry(entry: Entry) -> str:
    who = f" by {safe(entry.who)}" if entry.who else ""
    lasted = f' <span class="took">{hard(took(entry.took))}</span>' if entry.took is not None else ""
    text = f'<p class="text">{safe(entry.text, 300)}</p>' if entry.text else ""
    return (
        f'<li class="{entry.mood}"><time datetime="{clock(entry.at, "%Y-%m-%dT%H:%M:%SZ")}">{clock(entry.at)}</time>'
        f"<div><b>{safe(entry.what)}</b>{lasted}<p>{who}{_reason(entry.reason)}</p>{text}</div></li>"
    )


SECTIONS: dict[str, Callable[[View], str]] = {"hero": hero, "work": work, "history": history, "facts": facts}
