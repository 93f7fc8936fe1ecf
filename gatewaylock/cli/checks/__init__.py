"""What ``gateway doctor`` looks at.  A check yields (``ok`` | ``warn`` | ``fail``, what it found).

case      what all of them look at         watch     who supervises, and when that kills
place     run directory, file system, lock doors     control socket, addresses
machine   descriptors, faulthandler, interpreter     unit      what systemd is set to do with it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from . import doors, machine, place, unit, watch
from .case import Case

Check = Callable[[Case], Iterator[tuple[str, str]]]

CHECKS: Mapping[str, Check] = {
    "supervisor": watch.supervisor,
    "unit": unit.unit,
    "kill timeout": watch.kill_timeout,
    "run directory": place.run_directory,
    "file system": place.file_system,
    "lock": place.lock,
    "control socket": doors.control_socket,
    "addresses": doors.addresses,
    "descriptors": machine.descriptors,
    "faulthandler": machine.faults,
    "interpreter": machine.interpreter,
}
