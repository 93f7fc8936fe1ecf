"""How a gateway ends, and how further stops hurry it.  ``--help`` and the README print these rows."""

from __future__ import annotations

from typing import NamedTuple


class Stop(NamedTuple):
    """What one more stop does."""

    which: str
    does: str
    code: str


ESCALATION = (
    Stop("first", "lame duck, drain, close; turns a restart into a stop", "0"),
    Stop("second", "the rest of the drain is skipped; ``gateway stop --now`` at once", "0"),
    Stop("third", "exit at once; whatever was left is lost", "130 after SIGINT, else 143"),
)


class Ending(NamedTuple):
    """One way to end: the exit code, and what the log says of it."""

    how: str
    code: str
    says: str


ENDINGS = (
    Ending("stopped", "0", "shutting down"),
    Ending("a stop not done in time", "0", "shutdown timed out; exiting without full cleanup"),
    Ending("a restart not done in time", "1", "shutdown timed out; exiting without full cleanup"),
    Ending("the GIL was held through the deadline", "1", "Timeout ("),
    Ending("a start not done in time", "1", "start timed out; exiting"),
    Ending("the next image never came to run()", "SIGALRM", "restart mode: full process restart (exec"),
    Ending("the third stop", "130, 143", "a third time; exiting at once"),
    Ending("the first start raises", "1", "gateway: error:"),
    Ending("a restart after which the lock is lost", "1", "failed to reacquire gateway lock"),
    Ending("a half closed server and no fresh image", "1", "the server did not close cleanly and no fresh"),
    Ending("left for a successor", "0", "restart mode: full process restart (spawned pid"),
    Ending("left for its supervisor", "0", "restart mode: full process restart (supervisor restart)"),
    Ending("wrong usage", "2", "usage: gateway"),
    Ending("another gateway holds the name", "78", "gateway already running (pid"),
    Ending("the configuration is wrong", "78", "gateway: error:"),
)
