"""Each system call of a gateway fails once, in each of its positions: what comes of it.

A case is a story (start, work, restarts, stop; see STORIES) told to a gateway inside this process, one call
of which fails.  Afterwards it must serve, or have ended with the name free: never a wedge.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path

from faults import MEANT, SILENT, Fault, Faults
from inside import Inside, is_free
from plays import PATIENCE, STORIES, Stage
from speaking import eventually


class Log(logging.Handler):
    """What was logged, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it, with its traceback."""
        self.lines.append(f"{record.levelname} {logging.Formatter().format(record)}")


class Theatre:
    """Tells stories, one at a time."""

    def __init__(self) -> None:
        self.faults = Faults()

    def calls(self, story: str) -> Counter[str]:
        """How often each call is made when nothing fails.  AssertionError when something does."""
        found = self.tell(story, None)
        assert not found, (story, found)
        return self.faults.counts

    def tell(self, story: str, fault: Fault | None) -> list[str]:
        """What is wrong after *story* with *fault*; nothing, if all is well."""
        plot, options = STORIES[story]
        log = Log()
        logger = logging.getLogger("gatewaylock")
        before = _descriptors()
        with tempfile.TemporaryDirectory(prefix="gw-", ignore_cleanup_errors=True) as directory:
            run_dir = Path(directory) / "run"
            stage = Stage(self.faults, run_dir, **options)
            logger.addHandler(log)
            level, logger.level = logger.level, logging.INFO
            propagate, logger.propagate = logger.propagate, False
            self.died: list[str] = []
            hook, threading.excepthook = (
                threading.excepthook,
                lambda args: self.died.append(repr(args.exc_value)),
            )
            try:
                with self.faults.installed():
                    wrong = self._play(stage, plot, fault)
                    self.faults.on = False
                    wrong += _afterwards(stage, run_dir)
            finally:
                threading.excepthook = hook
                logger.removeHandler(log)
                logger.level, logger.propagate = level, propagate
                stage.children.end()
        heard = stage.heard
        del stage
        if not wrong and fault and self.faults.struck and not self._told(fault, [*log.lines, *heard]):
            wrong.append("nobody says what happened: " + " | ".join([*heard, *log.lines[-12:]]))
        wrong += [f"a thread died: {text}" for text in self.died]
        if not wrong and not eventually(lambda: _descriptors() <= before or (gc.collect() and False), 1):
            wrong.append(f"{_descriptors() - before} descriptor(s) left open")
        self.lines = log.lines
        return wrong

    def _play(self, stage: Stage, plot: Callable[[Stage], None], fault: Fault | None) -> list[str]:
        self.error: BaseException | None = None
        self.faults.begin(fault)
        try:
            plot(stage)
        except OSError as error:  # the making of the Gateway itself failed: heard by whoever made it
            self.error = error
        room = stage.room
        if room is None:
            return stage.late if self.error else ["no gateway, and no error"]
        wrong = list(stage.late) + _serving(stage, room)
        if room.paper.handlers.get(signal.SIGTERM) and not room.over:
            room.paper.signal(signal.SIGTERM)
        room.gateway.request_stop("the end of the story")
        if not room.ends(PATIENCE):
            room.gateway.request_stop("again")
            wrong.append(f"a stop was not heard: {room.gateway.phase.value}" if not room.over else "")
        stage.release.set()
        room.gateway.lanes.shutdown()  # where run() itself could not be
        if not room.ends(PATIENCE):
            wrong.append(f"the loop hangs: {room.gateway.phase.value}\n{_stack(room.thread)}")
        self.error = room.error
        served = any(event.kind == "phase" and event.facts["edge"] == "ready" for event in room.events)
        if served and isinstance(room.error, Exception):
            wrong.append(f"it had served, and died of {room.error!r}")
        return [text for text in wrong if text]

    def _told(self, fault: Fault, lines: list[str]) -> bool:
        if any(site in SILENT for site in self.faults.site) or (fault.op, fault.error) in MEANT:
            return True
        said = "\n".join([*lines, repr(self.error), str(self.error)])
        words = [os.strerror(fault.error), f"Errno {fault.error}", "can't start new thread"]
        return any(word in said for word in words)


def _serving(stage: Stage, room: Inside) -> list[str]:
    """Of one that says that it serves."""
    stage.faults.on, on = False, stage.faults.on
    try:
        if room.over or not room.gateway.status().ready:
            return []
        wrong = [] if not is_free(stage.run_dir) else ["it serves, and the name is free"]
        try:
            assert room.gateway.lanes.submit(int, lane="another").result(PATIENCE) == 0
        except Exception as error:
            wrong.append(f"it serves, and takes no work: {error!r}")
    finally:
        stage.faults.on = on
    return wrong


def _afterwards(stage: Stage, run_dir: Path) -> list[str]:
    """Of one that has ended, or never began."""
    # A successor that could not be held by a pidfd ends by itself, as soon as it sees that we are gone.
    free = not run_dir.exists() or eventually(lambda: is_free(run_dir), PATIENCE)
    wrong = [] if free else ["it has ended, and the name is not free"]
    unsettled = wait(stage.futures, PATIENCE).not_done
    wrong += [f"a future was never settled: {future}" for future in unsettled]
    return wrong


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)[-6:]) if frame else ""
