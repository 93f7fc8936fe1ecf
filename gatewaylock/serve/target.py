"""MODULE:ATTR on the command line -> the object it names."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from ..core.errors import TargetError


def load(target: str, *, factory: bool = False) -> Callable[..., Any]:
    """The WSGI application that *target* names; with *factory* the ``start(gateway)`` function.

    The working directory is on ``sys.path``, as with other servers; ``ATTR`` may have dots.  TargetError
    for an unknown module or attribute, and for what cannot be called; what the module itself raises is
    passed on.
    """
    module_name, _, path = target.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *path.split(".")]):
        raise TargetError(f"{target!r}: MODULE:ATTR is needed, for example httpbin:app")
    found: Any = _import(module_name, target)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise TargetError(f"{target}: {module_name} has no {path!r}") from None
    if not callable(found):
        kind = "a function start(gateway)" if factory else "a WSGI application"
        raise TargetError(f"{target}: {type(found).__name__!r} object is not {kind}: it cannot be called")
    if not factory and not _takes_two(found):
        hint = "a WSGI application is called with (environ, start_response)"
        raise TargetError(f"{target}: {hint}, this one cannot be; is it a start(gateway)? then add --factory")
    return found  # type: ignore[no-any-return]


def _takes_two(found: Callable[..., Any]) -> bool:
    """Whether it can be called with two arguments; True where nobody can tell (it is written in C)."""
    try:
        # Not of what it wraps: a decorator that makes an application of f(request) is called with two.
        inspect.signature(found, follow_wrapped=False).bind(None, None)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _import(name: str, target: str) -> object:
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only if it is the module we were asked for: one that it needs itself is its own error.
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise TargetError(f"{target}: no module named {error.name!r} in {here} or on sys.path") from None
