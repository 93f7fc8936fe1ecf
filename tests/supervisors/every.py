"""All supervisors that the tests and the benchmark know."""

from __future__ import annotations

from .chains import S6, Daemontools, Runit, ShellLoop
from .containers import Catatonit, DumbInit, PidOne, Tini
from .daemons import Circus, Monit, Supervisord
from .keeper import Keeper
from .systemd import Systemd, SystemdNotify

#: those that CI starts, in a second or two each
QUICK: tuple[type[Keeper], ...] = (Systemd, Runit, S6, Daemontools, Tini, DumbInit, PidOne, ShellLoop)
EVERY: tuple[type[Keeper], ...] = (SystemdNotify, *QUICK, Catatonit, Supervisord, Circus, Monit)
