"""Because of whom: the names of unfinished work and the stacks of all threads, to the log and to stderr."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from types import FrameType

log = logging.getLogger("gatewaylock.watchdog")

MOST = 100  # threads, and frames of each: as many as faulthandler tells


def told(stderr: int | None, says: str, left: Sequence[str]) -> Iterator[None]:
    """Tell it, step by step, for each may hang; faulthandler has told *stderr* the stacks before.

    Both hear all of it, and nobody twice where the log goes to stderr.  The stacks come last: there is
    more of them than a slow log takes.
    """
    shared = [_is_stderr(handler) for handler in _handlers()]
    if stderr is not None and not any(shared):
        with suppress(OSError):  # full, and nobody reads it
            os.write(stderr, _lines(says, left).encode(errors="backslashreplace"))
    yield
    log.error(says)
    yield
    for name in left:
        log.error("unfinished: %s", name)
    yield
    if not all(shared):
        log.error("all threads:\n%s", stacks())
    yield
    for handler in logging.getLogger().handlers:
        handler.flush()
    if sys.stdout is not None:
        sys.stdout.flush()


def stacks() -> str:
    """The innermost frame of each thread first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = islice(sys._current_frames().items(), MOST)
    return "\n".join(
        f"Thread {names.get(ident, ident)} (most recent call first):\n" + "\n".join(_stack(frame))
        for ident, frame in frames
    )


def keepers() -> tuple[str, ...]:
    """What keeps a process from ending that is to: threads that are no daemons, and its program."""
    main = threading.main_thread()
    threads = [t for t in threading.enumerate() if not t.daemon and t is not main and t.is_alive()]
    waits = [f"thread {t.name!r}, which is no daemon" for t in islice(threads, MOST)]
    frame = sys._current_frames().get(main.ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    if frame is not None and frame.f_code.co_name in ("<module>", "_run_module_as_main"):
        waits.append("the program, which goes on after run(): say run(..., exits=False) where it is meant to")
    return tuple(waits)


def _stack(innermost: FrameType) -> Iterator[str]:
    frame: FrameType | None = innermost
    for _ in range(MOST):
        if frame is None:
            return
        yield f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}'
        frame = frame.f_back


def _lines(says: str, left: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in (says, *(f"unfinished: {name}" for name in left)))


def _handlers() -> Iterator[logging.Handler]:
    """Whoever hears our log."""
    logger: logging.Logger | None = log
    while logger:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None
    if not log.hasHandlers() and logging.lastResort:
        yield logging.lastResort


def _is_stderr(handler: logging.Handler) -> bool:
    """Whether it writes to the file, pipe or terminal that is our stderr; False where that cannot be told."""
    try:
        return os.path.samestat(os.fstat(handler.stream.fileno()), os.fstat(2))  # type: ignore[attr-defined]
    except Exception:  # a stream of the application's: whatever it raises must not cost the report
        return False
