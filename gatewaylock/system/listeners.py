"""Listening sockets: bound once, kept open over every life, handed on by descriptor."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..core.errors import AddressTakenError, ConfigError
from .binding import address_of, bind_tcp, bind_unix, is_socket, port_of, resolve, unlink_own
from .host import Host, close_after_fork

if TYPE_CHECKING:
    from .passed import Passed

log = logging.getLogger("gatewaylock.listeners")


class Listeners:
    """The sockets of one gateway, by address as it was asked for.

    A restart closes none of them, so a connection that arrives in between waits in the kernel's
    queue for the next life.  Nobody may call ``shutdown()`` on one: that would end it for every
    process that has a copy.

    *passed* are sockets that others opened for us; each is taken by whoever asks for its address or its
    name.  *foreign* are the keys of inherited ones that a socket unit had passed: its path is not ours
    to remove, and systemd keeps it anyway.  ``lost`` is called with the name in systemd's store of one
    that stands in the way of a new one.
    """

    def __init__(
        self,
        host: Host,
        inherited: Mapping[str, int] | None = None,
        *,
        passed: Iterable[Passed] = (),
        foreign: Iterable[str] = (),
    ) -> None:
        self._host = host
        self._sockets: dict[str, socket.socket] = {}
        self._asked: set[str] = set()
        self._passed = list(passed)
        self._foreign = set(foreign)
        self.lost: Callable[[str], object] = lambda name: None
        for key, fd in (inherited or {}).items():
            listener = socket.socket(fileno=fd)
            listener.set_inheritable(False)
            self._sockets[key] = listener
        close_after_fork(self._close_copies)

    def tcp(self, host: str, port: int) -> socket.socket:
        """The socket that listens on *host*:*port* (port 0: any free one, the same in each life).

        ``fd:NAME`` as *host*: the one that a socket unit passed under that name.
        AddressTakenError or ConfigError when it cannot be bound, GatewayError when it cannot be yet.
        """
        key = f"{host}:{port}"
        if found := self._alive(self._mark(key)) or self._stored(key):
            return found
        if host.startswith("fd:"):
            return self._named(key, host.removeprefix("fd:"))
        where, family, address = resolve(host, port)
        return self._given(key, family, address) or self._keep(key, self._bind_tcp(where, family, address))

    def unix(self, path: str) -> socket.socket:
        """The Unix socket that listens at *path*, mode 0600.  A stale one of ours is replaced.

        AddressTakenError while another process listens there, ConfigError for what cannot be a path.
        """
        key = f"unix:{path}"
        if found := self._alive(self._mark(key)):
            return found
        if is_socket(path):  # else nobody could reach it
            found = self._stored(key) or self._given(key, socket.AF_UNIX, path)
        return found or self._keep(key, bind_unix(path))

    def begin(self) -> None:
        """A new life asks for its sockets anew."""
        self._asked.clear()

    def settle(self) -> list[str]:
        """The life is about to serve: close what it did not ask for, or clients would wait there for ever.

        What those are called in systemd's store.
        """
        unasked = [key for key in self._sockets if key not in self._asked]
        for key in unasked:
            self._sockets.pop(key).close()
        names = [_store_name(key) for key in unasked]
        while self._passed:
            left = self._passed.pop()
            if left.stored:
                names.append(left.name)
            else:
                log.warning(
                    "systemd listens on %s for us, and nobody asked for it", address_of(left.listener)
                )
            left.listener.close()
        return names

    def storable(self) -> dict[str, int]:
        """Name in systemd's store -> descriptor, of what no socket unit keeps open anyway."""
        return {_store_name(key): fd for key, fd in self.descriptors().items() if key not in self._foreign}

    def foreign(self) -> tuple[str, ...]:
        """The keys of those that a socket unit has passed."""
        return tuple(sorted(self._foreign.intersection(self._sockets)))

    def addresses(self) -> tuple[str, ...]:
        """Where we listen, as ``host:port`` or ``unix:path``."""
        found = []
        for listener in list(self._sockets.values()):
            with suppress(OSError):  # closed, by us or by a server; at this moment even
                found.append(address_of(listener))
        return tuple(found)

    def descriptors(self) -> dict[str, int]:
        """Address asked for -> descriptor, for a hand-over."""
        every = {key: listener.fileno() for key, listener in self._sockets.items()}
        return {key: fd for key, fd in every.items() if fd >= 0}

    def close(self, *, unlink: bool = True) -> None:
        """The end of the gateway: close all, and remove the paths unless a successor has them now."""
        for key, listener in self._sockets.items():
            ours = unlink and key not in self._foreign
            if ours and listener.fileno() >= 0 and listener.family == socket.AF_UNIX:
                unlink_own(listener.getsockname())
        self._close_copies()

    def _alive(self, key: str) -> socket.socket | None:
        """The one we have, unless a server closed it (many do): who connected meanwhile was refused."""
        listener = self._sockets.get(key)
        if listener is not None and listener.fileno() < 0:
            log.warning(
                "the last life closed the listening socket of %s: give it gateway.listen(...).dup()", key
            )
            self.lost(_store_name(key))
            return None
        return listener

    def _mark(self, key: str) -> str:
        self._asked.add(key)
        return key

    def _keep(self, key: str, listener: socket.socket) -> socket.socket:
        self._sockets[key] = listener
        return listener

    def _bind_tcp(self, where: str, family: int, address: tuple[Any, ...]) -> socket.socket:
        try:
            return bind_tcp(where, family, address)
        except AddressTakenError:
            if not self._give_way(address[1]):
                raise
            return bind_tcp(where, family, address)

    def _give_way(self, port: int) -> bool:
        """Close what the last life had on *port* of another address and this one has not asked for; whether any."""
        keys = [key for key, one in self._sockets.items() if key not in self._asked and port_of(one) == port]
        stored = [one for one in self._passed if one.stored and port_of(one.listener) == port]
        for key in keys:
            self._sockets.pop(key).close()
            self.lost(_store_name(key))
        for one in stored:
            self._passed.remove(one)
            one.listener.close()
            self.lost(one.name)
        return bool(keys or stored)

    def _stored(self, key: str) -> socket.socket | None:
        """What the last life, which left us nothing, had stored for *key*."""
        return self._claim(key, [one for one in self._passed if one.name == _store_name(key)])

    def _given(self, key: str, family: int, address: object) -> socket.socket | None:
        """What a socket unit has passed for *address*."""
        fit = [one for one in self._passed if not one.stored and one.listens_on(family, address)]
        return self._claim(key, fit)

    def _named(self, key: str, name: str) -> socket.socket:
        every = [one for one in self._passed if not one.stored]
        fit = [one for one in every if one.name == name]
        if len(fit) == 1 and (found := self._claim(key, fit)):
            return found
        names = ", ".join(sorted(one.name for one in every)) or "none"
        raise ConfigError(
            f"cannot listen on fd:{name}: {len(fit)} sockets of that name were passed: {names} are there"
        )

    def _claim(self, key: str, fit: list[Passed]) -> socket.socket | None:
        if not fit:
            return None
        self._passed.remove(fit[0])
        if not fit[0].stored:
            self._foreign.add(key)
        return self._keep(key, fit[0].listener)

    def _close_copies(self) -> None:
        while self._sockets:
            self._sockets.popitem()[1].close()
        while self._passed:
            self._passed.pop().listener.close()


def _store_name(key: str) -> str:
    from .passed import store_name  # only where systemd keeps sockets

    return store_name(key)
