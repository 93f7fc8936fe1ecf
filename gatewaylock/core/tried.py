"""A step that is to be made whatever comes of the one before it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger("gatewaylock.gateway")


def tried(call: Callable[..., object], *args: Any, **kw: Any) -> None:
    """Make a step of the way out.  What goes wrong is logged: the next one gives back something else."""
    try:
        call(*args, **kw)
    except Exception as error:
        log.error("shutdown error: %s: %s", type(error).__name__, error, exc_info=True)
