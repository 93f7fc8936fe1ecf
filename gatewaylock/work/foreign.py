"""Foreign code may hang: it is called on a thread of its own, and waited for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def called(call: Callable[[], T], patience: float, thread: str) -> T | None:
    """What *call* gives back; None when that takes longer than *patience* seconds.

    The thread is a daemon called *thread*.  RuntimeError where there can be none.  What *call* raises is
    for ``threading.excepthook``: see to it there.
    """
    answers: list[T] = []
    worker = threading.Thread(target=lambda: answers.append(call()), name=thread, daemon=True)
    worker.start()
    worker.join(patience)
    return answers[0] if answers else None
