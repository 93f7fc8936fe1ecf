"""How many answers have been given, by class of their status."""

from __future__ import annotations

import threading


class Counts:
    """Workers and the poller add, whoever wants to know reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[str, int] = {}

    def add(self, status: str) -> None:
        """One more answer, with a *status* such as "404 Not Found"."""
        kind = f"{status[:1]}xx"
        with self._lock:
            self._answers[kind] = self._answers.get(kind, 0) + 1

    def read(self) -> dict[str, int]:
        """Such as ``{"2xx": 17, "5xx": 1}``."""
        with self._lock:
            return dict(self._answers)
