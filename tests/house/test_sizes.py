"""Small: if a room needs a tour, it is to be redesigned."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest

import gatewaylock

PACKAGE = Path(gatewaylock.__file__).parent
ROOMS = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def lines(function: Function) -> int:
    """Lines of code, its docstring aside."""
    body = function.body
    first = body[1] if len(body) > 1 and isinstance(body[0], ast.Expr) else body[0]
    return (function.end_lineno or 0) - first.lineno + 1


def functions(room: Path) -> list[Function]:
    tree = ast.parse(room.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(PACKAGE)))
def test_a_room_has_at_most_300_lines_and_its_functions_40(room: Path) -> None:
    assert len(room.read_text(encoding="utf-8").splitlines()) <= 300
    assert {f.name: lines(f) for f in functions(room) if (f.end_lineno or 0) - f.lineno + 1 > 45} == {}


def test_the_median_function_has_fewer_than_12_lines() -> None:
    assert statistics.median(lines(function) for room in ROOMS for function in functions(room)) < 12


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(PACKAGE)))
def test_what_is_public_is_documented(room: Path) -> None:
    tree = ast.parse(room.read_text(encoding="utf-8"))
    bare = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef)):
            for child in node.body:
                public = isinstance(child, (Function, ast.ClassDef)) and not child.name.startswith("_")
                private_home = isinstance(node, ast.ClassDef) and node.name.startswith("_")
                declared = ast.unparse(child).endswith("...")  # somebody else's, told to the type checker
                if public and not private_home and not declared and not ast.get_docstring(child):
                    bare.append(child.name)
    assert bare == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(PACKAGE)))
def test_no_module_holds_state(room: Path) -> None:
    tree = ast.parse(room.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global)]
