"""The contract with your own code."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Server(Protocol):
    """What ``start(gateway)`` must give back.

    close() MUST return only when this life uses nothing of the gateway any more.
    close() MUST leave the listening sockets open: they belong to the gateway and outlive the life.
    close() MUST be safe on another thread than that of ``start``.
    close() SHOULD finish what it has accepted, until ``gateway.deadline`` at the latest.
    close() SHOULD tell its clients *reason* before it hangs up; ``restart_expected_ms`` says when
    to come back, None that nobody will be there.
    pause() and resume(), where there are both, accept nothing more and accept again: ``overlap`` needs them.
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
