"""Buffers are emptied before the image that has them is gone."""

from __future__ import annotations

import logging
import sys
import threading

FLUSH = 0.2  #: seconds


def flush() -> None:
    """What is in buffers, as far as somebody reads it: a full pipe must not hold the restart."""
    thread = threading.Thread(target=_flush_all, name="gatewaylock-flush", daemon=True)
    try:
        thread.start()
        thread.join(FLUSH)
    except RuntimeError:
        _flush_all()  # no thread to be had; the alarm stands already


def _flush_all() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass  # a closed pipe: nothing to save
    for handler in logging.getLogger().handlers:
        try:
            handler.flush()
        except Exception:
            pass  # the next image logs to the same place, or says why not
