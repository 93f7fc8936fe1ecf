"""A gateway inside the test's own process, on a thread, in a process of paper that it cannot harm."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torture

from gatewaylock import Gateway, Limits
from gatewaylock.core.events import Event
from gatewaylock.core.plan import Phase
from gatewaylock.system.host import Host

LIMIT = 20.0  # seconds after which something here hangs
QUICK = Limits(
    drain=0.15, shutdown=0.15, stop=0.3, start=0.3, first_start=0.0, preflight=0.3, lock=0.1, abort=0.05
)


class Died(SystemExit):
    """``exit_now`` was called on the gateway's own thread: the process would be gone."""


class Paper:
    """A process of paper: its signals are calls, its exits are notes."""

    def __init__(self) -> None:
        self.handlers: dict[int, Any] = {}
        self.wakeup = -1
        self.died = threading.Event()
        self.code: int | None = None  #: of exit_now
        self.loop: threading.Thread | None = None

    def host(self, **calls: Callable[..., Any]) -> Host:
        """Its system calls; *calls* in the place of some."""
        return Host(
            **{
                "handle": self._handle,
                "handled": self.handlers.get,
                "mask": lambda how, numbers: set(),
                "wakeup_fd": self._wakeup_fd,
                "exit_now": self._exit_now,
                "alarm": lambda *args: None,
                "dump_later": lambda *args, **kw: None,
                "cancel_dump": lambda: None,
                "killpg": lambda *args: None,
                "chdir": lambda path: None,
                "popen": refuses,
                "execve": refuses,
                **calls,
            }
        )

    def signal(self, number: int) -> None:
        """Send it a signal.

        CPython writes the byte first, but its handler has run before the main thread returns from its wait.
        """
        handler = self.handlers.get(number)
        if callable(handler):
            handler(number, None)
            with suppress(OSError):
                os.write(self.wakeup, bytes([number]))

    def _handle(self, number: int, handler: Any) -> Any:
        before = self.handlers.get(number)
        self.handlers[number] = handler
        return before

    def _wakeup_fd(self, fd: int, **options: object) -> int:
        before, self.wakeup = self.wakeup, fd
        return before

    def _exit_now(self, code: int) -> None:
        if self.code is None:
            self.code = code
        self.died.set()
        if threading.current_thread() is self.loop:
            raise Died(code)


def refuses(*args: object, **options: object) -> Any:
    """A system call that is not there."""
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


class Quick:
    """A server that ends at once."""

    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        """Nothing to do."""


class Inside:
    """One ``run()`` of one gateway."""

    def __init__(
        self,
        run_dir: Path,
        start: Callable[[Gateway], Any] = lambda gateway: Quick(),
        *,
        paper: Paper | None = None,
        calls: dict[str, Callable[..., Any]] | None = None,
        limits: Limits = QUICK,
        **options: Any,
    ) -> None:
        self.paper = paper or Paper()
        os.environ["GATEWAY_SUPERVISOR"] = "none"  # not what happens to run the tests
        self.gateway = Gateway(
            "inside", run_dir=str(run_dir), host=self.paper.host(**calls or {}), limits=limits, **options
        )
        self._start = start
        self._changed = threading.Condition()
        self.events: list[Event] = []
        self.code: int | None = None  #: what run() gave back
        self.error: BaseException | None = None  #: what it raised
        self.gateway._vitals.news.subscribe(self._hear)
        self.thread = threading.Thread(target=self._run, name="inside", daemon=True)

    def begin(self) -> Inside:
        """Run."""
        self.paper.loop = self.thread
        self.thread.start()
        return self

    def _run(self) -> None:
        try:
            self.code = self.gateway.run(self._start, exits=False)
        except BaseException as error:
            self.error = error
        with self._changed:
            self._changed.notify_all()

    def _hear(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    @property
    def over(self) -> bool:
        """Whether the process has ended, by itself or by ``exit_now``."""
        return self.paper.died.is_set() or (self.thread.ident is not None and not self.thread.is_alive())

    def reaches(self, claim: Callable[[], object], limit: float = LIMIT) -> bool:
        """Wait for *claim*, which only events change, or for the end; whether it came true."""
        until = threading.TIMEOUT_MAX if limit is None else limit
        with self._changed:
            self._changed.wait_for(lambda: claim() or self.over, until)
            return bool(claim())

    def serves(self, life: int = 1, limit: float = LIMIT) -> bool:
        """Wait until life *life* serves, or one is parked, or the end."""
        phases = (Phase.SERVING, Phase.PARKED)
        return self.reaches(lambda: self.gateway.phase in phases and self.gateway.life >= life, limit)

    def ends(self, limit: float = LIMIT) -> bool:
        """Wait for the end; whether it came."""
        self.thread.join(limit)
        return not self.thread.is_alive()


def is_free(run_dir: Path) -> bool:
    """Whether its name can be had."""
    return torture.is_free(run_dir, "inside")


@contextmanager
def inside(
    run_dir: Path, start: Callable[[Gateway], Any] = lambda gateway: Quick(), **options: Any
) -> Iterator[Inside]:
    """One that serves; stopped at the end."""
    room = Inside(run_dir, start, **options).begin()
    assert room.serves()
    try:
        yield room
    finally:
        room.gateway.request_stop("end of the test")
        assert room.ends()
