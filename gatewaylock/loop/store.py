"""Our listening sockets in systemd's store: what it holds is open whatever becomes of us."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..core.deadline import Deadline
from ..system.listeners import Listeners
from ..system.notify import Manager
from ..system.passed import store_name

#: seconds for systemd to let go of a socket that is to be bound anew
LET_GO = 1.0


class Store:
    """What is in it, as far as this image knows.  ``silent``: whether systemd does not listen to us (yet).

    Only systemd knows whether it has room (FileDescriptorStoreMax=); where it has none, it says so in its
    log, and a crash refuses connections.
    """

    def __init__(self, listeners: Listeners, manager: Manager, silent: Callable[[], bool]) -> None:
        self._listeners, self._manager, self._silent = listeners, manager, silent
        self._stored: set[str] = set()
        self._unasked: set[str] = set()

    def keep(self, listeners: Listeners, unasked: Iterable[str]) -> None:
        """These are listened on from now on, those called *unasked* not any more."""
        self._unasked.update(unasked)
        if self._silent():
            return
        wanted = listeners.storable()
        self._remove({*self._unasked, *self._stored}.difference(wanted))
        self._unasked.clear()
        for name in sorted(wanted.keys() - self._stored):
            self._manager.tell("FDSTORE=1", f"FDNAME={name}", fds=(wanted[name],))
        self._stored.update(wanted)

    def prune(self) -> None:
        """What the server has closed is still open there: the next image could not bind it."""
        closed = self._stored.difference(self._listeners.storable())
        self._remove(closed)
        if closed:
            self._manager.barrier(Deadline.after(LET_GO))

    def lost(self, name: str) -> None:
        """The same for one that is in the way at this moment."""
        self._remove([name])
        self._manager.barrier(Deadline.after(LET_GO))

    def forget_paths(self) -> None:
        """The end: a Unix socket goes with its path.  The others may serve whoever is started next."""
        paths = store_name("unix:")
        self._remove([name for name in self._listeners.storable() if name.startswith(paths)])

    def _remove(self, names: Iterable[str]) -> None:
        if not self._silent():
            for name in sorted(names):
                self._stored.discard(name)
                self._manager.tell("FDSTOREREMOVE=1", f"FDNAME={name}")
