"""What a gateway lets us watch, over its restarts: the stream ends with an image, and the next one is asked."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..control.client import GoneError, Talk, talk
from ..control.protocol import ProtocolError
from ..core.deadline import NEVER, Deadline
from ..core.errors import GatewayError
from .show import older
from .words import Facts

PATIENCE = 5.0  # seconds for an image to answer
AGAIN = 0.2  # seconds between two tries to be heard


class Stream:
    """The latest status of the gateway *name* at *path*, and every line that came (to *tell*)."""

    def __init__(self, path: str, name: str, tell: Callable[[Facts], object] = lambda said: None) -> None:
        self._path, self._name, self._tell = path, name, tell
        self._talking: Talk | None = None
        self._facts: Facts | None = None
        self._heard = 0.0
        self._next = 0.0

    def watching(self) -> Talk | None:
        """For a selector; None while there is no connection."""
        return self._talking

    def connect(self) -> Talk | None:
        """``watching``; where the stream has ended the next image is asked, but not too often."""
        if self._talking is None and time.monotonic() >= self._next:
            self._next = time.monotonic() + AGAIN
            try:
                self.open()
            except (GatewayError, TimeoutError, OSError):
                pass  # there is nothing to see, or nobody any more: whoever waits hears that elsewhere
        return self._talking

    def open(self) -> None:
        """Ask to watch.  NotRunningError, ProtocolError, GoneError, TimeoutError; GatewayError for a no."""
        talking = talk(self._path, self._name, Deadline.after(PATIENCE))
        try:
            answer = talking.ask("watch")
            if not answer.get("ok"):
                raise GatewayError(str(answer.get("text")))
            self._hear(answer)
        except BaseException:
            talking.close()
            raise
        talking.patience(NEVER)
        self._talking = talking

    def read(self) -> None:
        """Take in what has come.  GoneError at its end; the latest status stays."""
        assert self._talking is not None
        try:
            for said in self._talking.lines():
                self._hear(said)
        except (GoneError, ProtocolError):
            self.close()
            raise

    def facts(self) -> Facts | None:
        """The latest status, as old as it is by now; None where none was heard."""
        return self._facts and older(self._facts, time.monotonic() - self._heard)

    def close(self) -> None:
        """Watch no more."""
        if self._talking:
            self._talking.close()
            self._talking = None

    def _hear(self, said: Facts) -> None:
        if isinstance(said.get("status"), dict):
            self._facts, self._heard = said["status"], time.monotonic()
        self._tell(said)
