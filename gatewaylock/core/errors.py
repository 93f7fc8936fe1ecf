"""What can go wrong, and the exit code of each.

    GatewayError             1   catch this to catch us
      ConfigError           78   the configuration is wrong; starting again will not help
        TargetError         78   MODULE:ATTR names nothing that can be served
        RunDirError         78   the run directory or a file in it cannot be trusted
        AddressTakenError   78   somebody else listens there already
      GatewayLockError      78   another gateway holds the name
      StartFailed            1   ``start()`` gave back nothing that can be closed
      RestartFailed          1   a restart was refused; the gateway serves on
      GatewayDrainingError   1   no new tasks: the gateway is restarting or stopping
      LaneClearedError       1   the task was taken out of its lane before it began
      WorkLostError          1   the task had not ended when its gateway had to
      NotRunningError        3   no gateway of this name answers

Facts travel in ``args``, so every error pickles, compares and prints by itself.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of every error raised on purpose here; ``exit_code`` is what a program should end with."""

    exit_code = 1


class ConfigError(GatewayError):
    """The configuration is wrong.  ``str(error)`` says what, why and what to do."""

    exit_code = 78  # EX_CONFIG of sysexits.h: a supervisor should not try again


class TargetError(ConfigError):
    """MODULE:ATTR cannot be found, or is nothing that can be served."""


class RunDirError(ConfigError):
    """The run directory, or a file in it, is missing, foreign, too open or a symlink."""


class AddressTakenError(ConfigError):
    """Another program listens on *address* already; ``detail`` says who it must be, where that is known."""

    def __init__(self, address: str, detail: str = "") -> None:
        super().__init__(address, detail)
        self.address, self.detail = address, detail

    def __str__(self) -> str:
        text = f"another gateway instance is already listening on {self.address}"
        return f"{text}: {self.detail}" if self.detail else text


class GatewayLockError(GatewayError):
    """Another process holds the name.

    ``pid`` is None where the holder left no readable description; ``waited`` is in seconds;
    ``detail`` says more about the holder or about why the lock could not be tried.
    """

    exit_code = 78

    def __init__(self, pid: int | None = None, waited: float = 0.0, detail: str = "") -> None:
        super().__init__(pid, waited, detail)
        self.pid, self.waited, self.detail = pid, waited, detail

    def __str__(self) -> str:
        who = "unknown" if self.pid is None else str(self.pid)
        text = f"gateway already running (pid {who}); lock timeout after {self.waited * 1000:.0f}ms"
        return f"{text}: {self.detail}" if self.detail else text


class StartFailed(GatewayError):
    """``start()`` returned something without a ``close(reason, *, restart_expected_ms)``."""


class RestartFailed(GatewayError):
    """A restart was refused.  The gateway that was asked serves on."""


#: what the gateway is doing when it refuses tasks
DRAINING, QUIET = "draining for restart", "quiet"


class GatewayDrainingError(GatewayError):
    """The gateway is on its way down, to its next life, or "quiet" (*state*); submit again later."""

    def __init__(self, state: str = DRAINING) -> None:
        super().__init__(state)
        self.state = state

    def __str__(self) -> str:
        return f"Gateway is {self.state}; new tasks are not accepted"


class LaneClearedError(GatewayError):
    """The task waited in *lane* when the lane was cleared; it never began."""

    def __init__(self, lane: str) -> None:
        super().__init__(lane)
        self.lane = lane

    def __str__(self) -> str:
        return f'Command lane "{self.lane}" cleared'


class WorkLostError(GatewayError):
    """The task in *lane* had not ended when the gateway had to; *began* says whether it ran."""

    def __init__(self, lane: str, began: bool) -> None:
        super().__init__(lane, began)
        self.lane, self.began = lane, began

    def __str__(self) -> str:
        how = "was still running" if self.began else "had not begun"
        return f'a task in lane "{self.lane}" {how} when the gateway had to end'


class NotRunningError(GatewayError):
    """No gateway called *name* answers in *run_dir*; *last* says how the last one ended, where that is known."""

    exit_code = 3

    def __init__(self, name: str, run_dir: str, last: str = "") -> None:
        super().__init__(name, run_dir, last)
        self.name, self.run_dir, self.last = name, run_dir, last

    def __str__(self) -> str:
        text = f'no gateway "{self.name}" is running in {self.run_dir}'
        text = f"{text}; the last one: {self.last}" if self.last else text
        return f"{text} (`gateway list` shows those that run, --name picks one)"
