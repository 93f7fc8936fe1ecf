"""Who watches us, as a gateway feels it: which restarts it allows, and how long a stop may take."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from ..core.errors import ConfigError
from ..core.limits import Limits
from ..core.plan import Mode
from ..system.host import Host
from ..system.supervisor.asking import Fit, fit, told_by_operator
from ..system.supervisor.found import Found, detect

log = logging.getLogger("gatewaylock.supervisor")


class Watched:
    """The supervisor of this process, and what its kill timeout leaves of the budgets.

    The timeout is what we are *told* (``--supervisor-timeout``, GATEWAY_SUPERVISOR_TIMEOUT), else what
    the supervisor says when it is asked, else its default.  Asking takes up to a second and is done on a
    thread: until then the default stands.  ConfigError for a timeout or a supervisor that cannot be.
    """

    def __init__(
        self, host: Host, wanted: Limits, environ: Mapping[str, str], told: float | None = None
    ) -> None:
        if not isinstance(wanted, Limits):
            raise ConfigError(f"limits {wanted!r}: use Limits(drain=..., stop=...), in seconds")
        self._host, self._wanted = host, wanted
        self.found: Found = detect(environ, host.pid())
        self._told = told_by_operator(environ, told)
        self._patience = self._told or self.found.supervisor.patience
        #: more time can be asked for, while work ends (see patience.py)
        self._extends = self.found.extends
        self._fit = self._judge()

    @property
    def limits(self) -> Limits:
        """The budgets, as they are in force; to be read anew each time."""
        return self._fit.limits

    @property
    def kill_after(self) -> float:
        """Seconds from a stop to a kill, as far as is known; ``math.inf``: never."""
        return self._patience.seconds

    def begin(self, mode: Mode) -> None:
        """Say what does not fit, before the first life begins or, where somebody has to be asked, soon after."""
        found = self.found
        for text in self._wanted.too_short():
            log.info("%s", text)
        if found.supervisor.name not in ("none", "terminal"):
            log.info("%s", found)
        if why := found.why_exec(mode):
            log.warning("no %s restarts here (%s); exec, which keeps the pid", mode.value, why)
        elif mode is Mode.SUPERVISOR and found.supervisor.name == "none":
            log.warning("a restart ends this process, and nobody is known to start it again")
        if found.supervisor.ask is None or self._told:
            self._say()
            return
        try:
            threading.Thread(target=self._ask, name="gatewaylock-supervisor", daemon=True).start()
        except RuntimeError as error:
            log.warning("nobody asks %s how long a stop may take: %s", found.supervisor.name, error)
            self._say()

    def _ask(self) -> None:
        row = self.found.supervisor
        assert row.ask is not None
        try:
            self._patience = row.ask(self.found.seen, self._host)
            self._fit = self._judge()
        except Exception as error:  # whatever it is, the default stands
            text = "%s does not tell how long a stop may take (%s): %g s are assumed, --supervisor-timeout says better"
            log.warning(text, row.name, error, self._patience.seconds)
        self._say()

    def _judge(self) -> Fit:
        return fit(self._wanted, self._patience, extends=self._extends)

    def _say(self) -> None:
        if self._fit.text:
            log.log(logging.WARNING if self._fit.state == "fail" else logging.INFO, "%s", self._fit.text)
