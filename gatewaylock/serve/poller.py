"""The one thread that owns every socket of a server: it polls, and it ends connections in good order."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from .channel import STALL, Channel, Options, Waits
from .door import Door
from .library import Map, poll
from .words import log

TURN = 30.0  #: seconds between two looks for connections that their clients have forgotten
PAUSE = 0.25  #: seconds to wait after poll() itself failed (out of memory)


class Poller:
    """Serving, then leaving, then gone.  Everybody else only sets a flag and wakes it."""

    def __init__(self, adj: Options, linger: float, on_gone: Callable[[], None]) -> None:
        self.map: Map = {}
        self._doors: list[Door] = []
        self._adj, self._linger, self._on_gone = adj, linger, on_gone
        self._sweep = False
        self._shut = False  # the doors are
        self._next = 0.0  # seconds until the next look at a connection is due, while leaving
        self._thread = threading.Thread(target=self._run, name="gateway-http-poller", daemon=True)

    def start(self, doors: list[Door]) -> None:
        """Begin to serve."""
        self._doors = doors
        self._thread.start()

    def channels(self) -> list[Channel]:
        """The open connections."""
        return [each for each in self.map.copy().values() if isinstance(each, Channel)]

    def pause(self, paused: bool) -> None:
        """Accept nothing for a while, or again."""
        self._adj.paused = paused
        self._doors[0].pull_trigger()

    def leave(self, *, sweep: bool, linger: float) -> None:
        """Accept no more (*sweep*: but what waits in the kernel's queue), answer, close, end."""
        self._sweep, self._linger = sweep, min(self._linger, linger)
        self._adj.leaving = True
        self._doors[0].pull_trigger()

    def cut(self, grace: float) -> None:
        """End now; waits *grace* seconds for it."""
        self._adj.leaving = self._adj.cutting = True
        self._doors[0].pull_trigger()
        if self._thread is not threading.current_thread():
            self._thread.join(grace)

    def _run(self) -> None:
        try:
            while not self._adj.cutting:
                for door in self._doors:
                    door.pulled = False
                try:
                    if self._adj.leaving and not self._advance():
                        break
                    poll(self._patience(), self.map)
                except Exception:
                    log.exception("the server's poller failed; it goes on")
                    threading.Event().wait(PAUSE)
        finally:
            self._end()

    def _advance(self) -> bool:
        """The next step of leaving.  False when nothing is left to do."""
        if not self._shut:
            self._shut = True
            # Not before we look: who waits since a pause is swept in on a stop, and else somebody else's.
            self._adj.paused = False
            for door in self._doors:
                door.leave(self._sweep)
        now, self._next = time.monotonic(), math.inf
        for channel in self.channels():
            self._next = min(self._next, self._look(channel, now))
        return bool(self._adj.farewells or self.channels() or any(door.accepting for door in self._doors))

    def _look(self, channel: Channel, now: float) -> float:
        """Close *channel* if nothing has been asked on it for *linger*, or its client does nothing.

        Returns the seconds until the next look at it is due.
        """
        turn = channel.turn()
        if turn != channel.seen:
            channel.seen, channel.since = turn, now
        limit = {Waits.NOBODY: self._linger, Waits.CLIENT: STALL, Waits.WORKER: math.inf}[turn[0]]
        if now - channel.since >= limit:
            channel.retire(now) if turn[0] is Waits.NOBODY else channel.give_up()
        return channel.since + limit - now

    def _patience(self) -> float | None:
        """Seconds until time brings something; None when only a client or a worker can."""
        for farewell in self._adj.farewells.copy():
            if farewell.until.passed():
                farewell.close()
        waits = [farewell.until.left() for farewell in self._adj.farewells.copy()]
        waits += [door.paused.left() for door in self._doors if door.paused is not None]
        waits.append(self._next if self._adj.leaving else TURN)
        # poll() counts whole milliseconds and rounds down: without one more it would spin for the last.
        wait = max(0.0, min(waits))
        return None if wait == math.inf else wait + 0.001

    def _end(self) -> None:
        self._adj.leaving = self._adj.cutting = True
        for each in [*self.channels(), *self._adj.farewells.copy(), *self._doors]:
            try:
                if isinstance(each, Channel):
                    each.give_up() if each.busy() else each.handle_close()
                else:
                    each.close()
            except Exception:
                log.exception("a socket could not be closed")
        if self._adj.cut:
            log.warning("%d request(s) not answered in time: connection closed", self._adj.cut)
        self._on_gone()
