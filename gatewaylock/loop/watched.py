"""Who watches us, as a gateway feels it: which restarts it allows, and how long a stop may take."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping

from ..core.errors import ConfigError
from ..core.limits import WEEK, Limits
from ..core.plan import Mode
from ..system.host import Host
from ..system.supervisor.asking import Patience
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
        self._host, self._wanted = host, wanted
        self.found: Found = detect(environ, host.pid())
        row = self.found.supervisor
        self._told = _told(environ, told)
        self._patience = self._told or Patience(row.kills_after, f"{row.setting} of {row.name}")
        #: the budgets, as they are in force; read it anew each time
        self.limits = wanted.capped(self._patience.seconds)

    def begin(self, mode: Mode) -> None:
        """Say what does not fit, before the first life begins or, where somebody has to be asked, soon after."""
        found = self.found
        if found.supervisor.name not in ("none", "terminal"):
            log.info("supervisor: %s", found)
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
            self.limits = self._wanted.capped(self._patience.seconds)
        except (OSError, ValueError) as error:
            text = "%s does not tell how long a stop may take (%s): %g s are assumed, --supervisor-timeout says better"
            log.warning(text, row.name, error, self._patience.seconds)
        self._say()

    def _say(self) -> None:
        if self.limits.stop < self._wanted.stop:
            log.warning("%s", too_long(self._wanted, self._patience))


def too_long(wanted: Limits, patience: Patience) -> str:
    """What a stop is cut to under *patience*, why, and what to change; in numbers."""
    cut = wanted.capped(patience.seconds).stop
    return (
        f"a stop may take {wanted.stop:g} s, but we are killed {patience.seconds:g} s after it was asked for"
        f" ({patience.setting}): stops are cut to {cut:g} s;"
        f" let it wait {math.ceil(wanted.kill_timeout)} s, or set --stop-timeout to {cut:g} or less"
    )


def _told(environ: Mapping[str, str], told: float | None) -> Patience | None:
    """What the operator says; None where nothing.  ``infinity``: it never kills."""
    name, value = "--supervisor-timeout", told
    if told is None and (text := environ.get("GATEWAY_SUPERVISOR_TIMEOUT")):
        name = "GATEWAY_SUPERVISOR_TIMEOUT"
        try:
            value = float(text)
        except ValueError:
            raise ConfigError(f"{name} {text!r}: seconds are needed, or infinity") from None
    if value is None:
        return None
    if not (0 < value <= WEEK or value == math.inf):
        raise ConfigError(f"{name} {value:g}: use more than 0 s, up to a week, or infinity")
    return Patience(value, name)
