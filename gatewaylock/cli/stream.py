"""What a gateway lets us watch, over its restarts: the stream ends with an image, and the next one is asked."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress

from ..control.client import GoneError, Talk, talk
from ..control.protocol import ProtocolError
from ..core.deadline import NEVER, Deadline
from ..core.errors import GatewayError
from .show import older
from .words import Facts, printable

PATIENCE = 1.0  # seconds to be let in: the kernel does that, unless its queue is full
AGAIN = 0.2  # seconds between two tries to be heard


class Stream:
    """The latest status of the gateway *name* at *path*; *tell* gets every line that comes.

    Nothing here waits for an answer: an image that is still loading has our question in its queue.
    """

    def __init__(self, path: str, name: str, tell: Callable[[Facts], object] = lambda said: None) -> None:
        self._path, self._name, self._tell = path, name, tell
        self._talking: Talk | None = None
        self._facts: Facts | None = None
        self._heard = 0.0
        self._next = 0.0
        #: why we may not watch
        self.refusal = ""

    def open(self) -> None:
        """Ask to watch.  NotRunningError, ProtocolError."""
        try:
            talking = talk(self._path, self._name, Deadline.after(PATIENCE))
            talking.say("watch")
        except TimeoutError:
            raise ProtocolError(f"{self._path}: the gateway is stuck") from None
        talking.patience(NEVER)
        self._talking = talking

    def connect(self) -> Talk | None:
        """The connection; where the stream has ended the next image is asked, but not too often."""
        if self._talking is None and time.monotonic() >= self._next:
            self._next = math.inf if self.refusal else time.monotonic() + AGAIN
            with suppress(GatewayError, OSError):  # nobody is there: whoever waits hears that elsewhere
                self.open()
        return self._talking

    def watching(self) -> Talk | None:
        """The connection, for a selector; None while there is none."""
        return self._talking

    def read(self) -> None:
        """Take in what has come, which a selector has seen.  At its end the latest status stays."""
        assert self._talking is not None
        try:
            for said in self._talking.lines():
                self._hear(said)
        except (GoneError, ProtocolError):
            self.close()

    def facts(self) -> Facts | None:
        """The latest status, as old as it is by now; None where none was heard."""
        return self._facts and older(self._facts, time.monotonic() - self._heard)

    def close(self) -> None:
        """Watch no more."""
        if self._talking:
            self._talking.close()
            self._talking = None

    def _hear(self, said: Facts) -> None:
        if said.get("ok") is False:
            self.refusal = printable(said.get("text"))
            return
        if isinstance(said.get("status"), dict):
            self._facts, self._heard = said["status"], time.monotonic()
        self._tell(said)
