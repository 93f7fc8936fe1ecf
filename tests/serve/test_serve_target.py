"""MODULE:ATTR, and what is said when it names nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewaylock.core.errors import TargetError
from gatewaylock.serve.target import load


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with modules in it, forgotten afterwards."""
    (tmp_path / "target_good.py").write_text(
        "class Box:\n    @staticmethod\n    def inner(environ, start): ...\n"
        "app = Box.inner\ndef begin(gateway): ...\n"
        "import functools\nwrapped = functools.wraps(begin)(lambda *args: [])\nnumber = 7\nstart = app\n"
    )
    (tmp_path / "target_bad.py").write_text("raise ZeroDivisionError('on import')\n")
    (tmp_path / "target_needy.py").write_text("import target_not_there\n")
    (tmp_path / "target_pkg").mkdir()
    (tmp_path / "target_pkg" / "__init__.py").write_text("")
    (tmp_path / "target_pkg" / "wsgi.py").write_text("def app(environ, start): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("target_")]:
        del sys.modules[name]


@pytest.mark.parametrize("target", ["target_good:app", "target_good:Box.inner", "target_pkg.wsgi:app"])
def test_the_working_directory_is_searched_and_attributes_may_have_dots(target: str) -> None:
    assert load(target).__name__ in ("inner", "app")


def test_what_a_decorator_made_of_one_argument_is_an_application() -> None:
    assert load("target_good:wrapped")(None, None) == []


def test_a_factory_is_found_the_same_way() -> None:
    assert load("target_good:start", factory=True).__name__ == "inner"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("target_nowhere:app", "no module named 'target_nowhere'"),
        ("target_pkg.nowhere:app", "no module named 'target_pkg.nowhere'"),
        ("target_good.deeper:app", "no module named 'target_good.deeper'"),
        ("target_good:nothing", "target_good has no 'nothing'"),
        ("target_good:Box.nothing", "target_good has no 'Box.nothing'"),
        ("target_good:number", "'int' object is not a WSGI application"),
        ("target_good:begin", "is it a start(gateway)? then add --factory"),
        ("target_good", "MODULE:ATTR is needed"),
        ("target_good:", "MODULE:ATTR is needed"),
        (":app", "MODULE:ATTR is needed"),
        ("target_good.py:app", "no module named"),
        ("./target_good:app", "MODULE:ATTR is needed"),
        ("target_good:app()", "MODULE:ATTR is needed"),
        ("", "MODULE:ATTR is needed"),
    ],
)
def test_what_cannot_be_served_is_one_clear_line_and_exit_78(target: str, says: str) -> None:
    with pytest.raises(TargetError) as caught:
        load(target)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 78


def test_what_a_factory_must_be_is_said() -> None:
    with pytest.raises(TargetError, match="not a function start"):
        load("target_good:number", factory=True)


def test_what_the_module_raises_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError, match="on import"):
        load("target_bad:app")
    with pytest.raises(ModuleNotFoundError, match="target_not_there"):
        load("target_needy:app")
