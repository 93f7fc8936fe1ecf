"""The contract with your own code."""

from __future__ import annotations

import inspect
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Server(Protocol):
    """What ``start(gateway)`` must give back.

    close() MUST return only when this life uses nothing of the gateway any more.
    close() MUST leave the listening sockets open: they belong to the gateway and outlive the life.
    close() MUST be safe on another thread than that of ``start``.
    close() SHOULD finish what it has accepted, until ``gateway.deadline`` at the latest.
    close() SHOULD tell its clients *reason* before it hangs up; ``restart_expected_ms`` says when
    to come back, None that nobody will be there.
    pause() and resume(), where there are both, accept nothing more and accept again: ``overlap`` needs them,
    and ``gateway quiet`` calls them.
    They SHOULD return at once; one that does not is left behind, and the other called when it is back.
    in_flight() and crowd(), where there are, tell a supervisor what is waited for and whether it gets
    less: how many requests are unanswered; and what changes when one that had to wait for a thread is
    begun, false while none waits.  Both MUST return at once.
    counts(), where there is one, gives ``{"in_flight": 3, "2xx": 17, "5xx": 1}`` for the metrics, from any thread.
    close() MAY raise: it is logged, and the next life then begins in a fresh process image only.
    """

    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        """End this life."""
        ...


def why_no_server(given: object) -> str:
    """Why *given*, which ``start`` gave back, is none; empty where it is one.

    Told when a life begins: else the first who hears of it is whoever restarts it, weeks later.
    """
    if not isinstance(given, Server):
        return f"start() returned {given!r}, which has no close(): see gatewaylock.Server"
    try:
        inspect.signature(given.close).bind("", restart_expected_ms=None)
    except ValueError:
        return ""  # written in C: nobody can tell
    except TypeError as error:
        return f"start() returned {given!r}, which has no close(reason, *, restart_expected_ms): {error}"
    return ""


class Runtime(Protocol):
    """What the seed's entry point exits through."""

    def exit(self, code: int) -> Any:
        """End the process with *code*."""
        ...
