"""A folder is a floor.  A room imports only from its own floor and from those below."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gatewaylock

PACKAGE = Path(gatewaylock.__file__).parent
ROOMS = sorted(PACKAGE.rglob("*.py"))

BELOW: dict[str, set[str]] = {
    "core": set(),
    "version": set(),
    "server": set(),
    "system": {"core"},
    "work": {"core"},
    "control": {"core"},
    "loop": {"core", "server", "system", "work", "control"},
    "gateway": {"core", "server", "system", "work", "control", "loop"},
    "__init__": {"core", "server", "system", "work", "gateway", "version"},
    "admin": {"core", "system", "loop", "version"},
    "serve": {"core", "system", "gateway", "server", "admin"},
    "cli": {"core", "server", "system", "control", "gateway", "admin", "serve", "version", "__init__"},
    "__main__": {"cli"},
}
LIBRARIES = {
    "system/flock.py": {"portalocker"},
    "serve": {"waitress"},
    "admin/metrics.py": {"prometheus_client"},
}


def floor(room: Path) -> str:
    return room.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(room: Path) -> Iterator[tuple[str, ...]]:
    """What a room imports, as the parts of absolute module names."""
    here = ("gatewaylock", *room.relative_to(PACKAGE).parent.parts)
    tree = ast.parse(room.read_text(encoding="utf-8"))
    for typing_only in [node for node in tree.body if isinstance(node, ast.If)]:
        if ast.unparse(typing_only.test) == "TYPE_CHECKING":
            tree.body.remove(typing_only)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            yield from ((*module, alias.name) for alias in node.names)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(PACKAGE)))
def test_a_room_imports_from_its_own_floor_and_below_only(room: Path) -> None:
    mine = floor(room)
    for name in imports(room):
        if name[0] == "gatewaylock":
            there = name[1] if len(name) > 1 and name[1] in BELOW else "__init__"
            assert there == mine or there in BELOW[mine], ".".join(name)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(PACKAGE)))
def test_the_core_needs_the_standard_library_and_portalocker_alone(room: Path) -> None:
    path = str(room.relative_to(PACKAGE))
    allowed = {lib for prefix, libs in LIBRARIES.items() if path.startswith(prefix) for lib in libs}
    for name in imports(room):
        assert name[0] != "asyncio"
        assert name[0] in {"gatewaylock", *sys.stdlib_module_names, *allowed}, ".".join(name)


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    names = {
        ".".join(("gatewaylock", *room.relative_to(PACKAGE).with_suffix("").parts)): room for room in ROOMS
    }
    for name, room in names.items():
        graph[name] = {
            target
            for parts in imports(room)
            for target in (".".join(parts), ".".join(parts[:-1]))
            if target in names and target != name and not name.startswith(target)
        }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
