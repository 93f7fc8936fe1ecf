"""``gateway help python``: what a program imports, from signatures and docstrings."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from importlib import import_module
from typing import Any

#: what a Gateway owns, where the class of each is, and what in it is only the loop's to call
PARTS = {
    "gateway.lanes": (
        "work.lanes",
        "Lanes",
        "abandon census close crowd hold live oldest open reset resume shutdown",
    ),
    "gateway.runs": ("work.runs", "Runs", "live present"),
    "gateway.restarts": ("work.permit", "Restarts", "close consume settled"),
}
#: what is for some programs only, and where it is
DOORS = {"gatewaylock.serve.serve": ("serve", "serve"), "gatewaylock.admin.Admin": ("admin.admin", "Admin")}
#: the same, of what can be imported
INNER = {"Gateway": "must_end post", "GatewayLock": "adopt describe descriptors"}
#: what one gets from them, and cannot import from the front door
GIVEN = {
    "work.runs": ("Run",),
    "work.permit": ("Scheduled",),
    "work.deferral": ("Deferral",),
    "core.facts": ("Account", "DrainProgress", "Item", "Peer", "Quiet"),
}
LONGEST = 30  # characters of a default that still say something


class Dots:
    """A default that says nothing."""

    def __repr__(self) -> str:
        return "..."


def pages(width: int) -> Iterator[str]:
    """Every public name but the errors, which ``exit-codes`` has; after Gateway what it owns, at the end what they give."""
    import gatewaylock

    yield from ("  from gatewaylock import Gateway, and so on; what it owns follows it here", "")
    yield from _page("Gateway", gatewaylock.Gateway, width, INNER["Gateway"])
    for shown, (room, name, inner) in PARTS.items():
        found = getattr(import_module(f"gatewaylock.{room}"), name)
        yield from _page(shown, found, width, inner, called=False)
    for name in gatewaylock.__all__:
        found = getattr(gatewaylock, name)
        if name != "Gateway" and callable(found) and not _is(found, Exception):
            yield from _page(name, found, width, INNER.get(name, ""), called=not _is(found, Enum))
    for shown, (room, name) in DOORS.items():
        found = getattr(import_module(f"gatewaylock.{room}"), name)
        yield from _page(shown, found, width, "open shut quiet kept close")
    yield from ("  what these give back:", "")
    for room, names in GIVEN.items():
        for name in names:
            found = getattr(import_module(f"gatewaylock.{room}"), name)
            yield from _page(name, found, width, "", called=is_dataclass(found))


def _is(found: Any, kind: type) -> bool:
    return isinstance(found, type) and issubclass(found, kind)


def _page(shown: str, found: Any, width: int, inner: str, *, called: bool = True) -> Iterator[str]:
    protocol = getattr(found, "_is_protocol", False)
    yield from _entry(shown, found, "  ", width, called=called and not protocol)
    if _is(found, Enum):
        yield f"    {', '.join(found.__members__)}"
    yield ""
    for name, member in vars(found).items() if isinstance(found, type) else ():
        about = _about(member)
        if about and not name.startswith("_") and name not in inner.split():
            is_value = isinstance(member, property)
            shown = f".{name}: {about.__annotations__['return']}" if is_value else f".{name}"
            yield from _entry(shown, about, "    ", width, called=not is_value)
            yield ""


def _about(member: Any) -> Any:
    """What has the signature and the docstring of *member*; None for a plain value."""
    inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
    return inner if callable(inner) and inner.__doc__ else None


def _entry(shown: str, found: Any, indent: str, width: int, *, called: bool) -> Iterator[str]:
    head = shown + (_signature(found) if called else "")
    yield from textwrap.wrap(head, width, initial_indent=indent, subsequent_indent=indent + "    ")
    yield from _doc(found, indent + "  ", width)


def _signature(found: Any) -> str:
    """As it is called: no self, no quotes around annotations, no default that is longer than it tells."""
    whole = inspect.signature(found)
    given = [_short(each) for each in whole.parameters.values() if each.name not in ("self", "cls")]
    text = str(whole.replace(parameters=given))
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text).removesuffix(
        " -> None" if isinstance(found, type) else ""
    )


def _short(each: inspect.Parameter) -> inspect.Parameter:
    says = repr(each.default)
    return each.replace(default=Dots()) if len(says) > LONGEST or says.startswith("<function") else each


def _doc(found: Any, indent: str, width: int) -> Iterator[str]:
    """The docstring: what is flowing text filled, what has columns or an indent as it is."""
    for paragraph in _plain(inspect.cleandoc(found.__doc__ or "")).split("\n\n"):
        lines = paragraph.splitlines()
        if not re.search(r"^ |[^.:\s] {2,}\S", paragraph, re.MULTILINE):
            lines = textwrap.wrap(" ".join(lines), width - len(indent))
        yield from (f"{indent}{line}".rstrip() for line in lines)


def _plain(text: str) -> str:
    """Without the marks for code and for names; the columns of a table behind such a mark move with it."""
    if re.search(r"^``\w+`` {2,}", text, re.MULTILINE):
        text = re.sub(r"^ {4}(?= {8})", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<![\w*])\*(\w+)\*", r"\1", text.replace("``", ""))
