"""The log of this floor: nothing that a client sent gets into it as it came."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Adapter = logging.LoggerAdapter[logging.Logger]  # cannot be subscripted before Python 3.11
else:
    Adapter = logging.LoggerAdapter


def plain(text: str) -> str:
    """*text* with everything that could move a cursor or begin a line spelled out (``\\n``, ``\\x1b``)."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class PlainLogger(Adapter):
    """The library puts the path of a request into its messages; here it becomes harmless."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The message, made plain before any formatter sees it."""
        return plain(str(msg)), kwargs


log = PlainLogger(logging.getLogger("gatewaylock.serve"), {})
