"""One task: a Future that knows its work, its lane and how long it waited."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from .names import plain, quoted

if TYPE_CHECKING:
    from .queues import Lane

log = logging.getLogger("gatewaylock.lanes")

OnWait = Callable[[float, int], object]


class Task(Future[Any]):
    """What ``Lanes.submit`` gives back.  For its caller it is a Future and nothing else.

    One object and not two: a Future and a work item that point at each other are a cycle, which
    only the garbage collector can free.
    """

    #: for people; 0 until somebody looks at it
    number = 0

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        warn_after: float,
        on_wait: OnWait | None,
        forget: Callable[[Task], None],
    ) -> None:
        Future.__init__(self)
        if not callable(fn):
            raise TypeError(
                f"{plain(type(fn))} cannot be called: submit the function itself, not what it gives back"
            )
        self._fn: Callable[..., Any] | None = fn
        self._args, self._kwargs = args, kwargs
        self._warn_after, self._on_wait, self._forget = warn_after, on_wait, forget
        #: when it was queued
        self.since = time.monotonic()
        #: when it began, in seconds of time.monotonic(); inf before
        self.began = math.inf
        # Known once it is queued:
        self.lane: Lane
        #: how many tasks of its lane, running ones included, were ahead of it when it was submitted
        self.ahead = 0

    def cancel(self) -> bool:
        """Cancel it if it has not begun; its lane forgets it at once."""
        cancelled = super().cancel()
        if cancelled:
            self._let_go()
            self._forget(self)
        return cancelled

    def begin(self) -> bool:
        """False when it was cancelled.  From then on it cannot be."""
        self.began = time.monotonic()
        try:
            return self.set_running_or_notify_cancel()
        except RuntimeError:
            return False  # its caller settled it, which is no caller's business; concurrent.futures logs it

    def run(self) -> None:
        """Do the work and settle the future.  Never raises, whatever the work or a callback does."""
        fn = self._fn
        assert fn is not None
        if self.began - self.since > self._warn_after:
            self._say_late(self.began - self.since)
        try:
            result = fn(*self._args, **self._kwargs)
        except BaseException as error:  # SystemExit too: it ends the task, not our thread
            self.fail(error)
        else:
            try:
                self.set_result(result)
            except BaseException as trouble:
                self._not_settled(trouble)
        finally:
            self._let_go()
            del self  # an exception refers to this frame: no cycle with the future that holds it

    def fail(self, error: BaseException) -> None:
        """Settle with *error*; nothing happens where it is settled already."""
        try:
            self.set_exception(error)
        except BaseException as trouble:
            self._not_settled(trouble)

    def _not_settled(self, trouble: BaseException) -> None:
        """Settled before, by abandon(): its caller has been told.  Else a callback of the future
        raised what concurrent.futures does not catch, such as SystemExit.
        """
        if not isinstance(trouble, InvalidStateError):
            log.error("a callback of %s raised", self.name(), exc_info=trouble)

    def _let_go(self) -> None:
        """Nothing of the work is kept alive by the future."""
        self._fn, self._args, self._kwargs = None, (), {}

    def name(self) -> str:
        """For logs: ``task "chat-7" handle_message, running 3.2 s``."""
        queued = math.isinf(self.began)
        since = self.since if queued else self.began
        return f"{self.title()}, {'queued' if queued else 'running'} {time.monotonic() - since:.1f} s"

    def title(self) -> str:
        """For people, on one line: ``task "chat-7" handle_message``."""
        fn = self._fn
        return f"task {quoted(self.lane.name)}" + ("" if fn is None else f" {plain(fn)}")

    def _say_late(self, waited: float) -> None:
        log.warning(
            "lane wait exceeded: lane=%s waitedMs=%d queueAhead=%d",
            quoted(self.lane.name),
            waited * 1000,
            self.ahead,
        )
        if self._on_wait is not None:
            try:
                self._on_wait(waited, self.ahead)
            except BaseException:
                log.exception("on_wait of %s raised", self.name())
