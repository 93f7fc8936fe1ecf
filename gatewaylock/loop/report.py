"""What ``status`` tells: one look at everything, from any thread."""

from __future__ import annotations

import time

from ..core.deadline import Deadline
from ..core.facts import DrainProgress, Item, Quiet
from ..core.plan import Phase, Status
from .parts import Options, Work
from .vitals import Vitals


def report(options: Options, vitals: Vitals, work: Work, *, pid: int, addresses: tuple[str, ...]) -> Status:
    """The status at this moment."""
    now, lanes = time.monotonic(), work.lanes
    since, phase = vitals.serving_since, vitals.phase
    items = work.inventory.items(vitals.life)
    return Status(
        name=options.name,
        pid=pid,
        phase=phase,
        life=vitals.life,
        uptime=now - vitals.began,
        life_uptime=None if since is None else now - since,
        addresses=addresses,
        tasks_active=lanes.active_count(),
        tasks_queued=lanes.queued_count(),
        lanes=lanes.sizes(),
        runs=work.runs.live(),
        restart_mode=options.restart_mode.value,
        reason=vitals.reason,
        time_left=_left(vitals.deadline),
        proving=vitals.proving is not None,
        items=items,
        drain=_drain(work, items) if phase is Phase.DRAINING else None,
        quiet=_quiet(vitals) if phase is Phase.QUIET else None,
        under_way=vitals.accounts.open,
        last_restart=vitals.accounts.last_restart,
        admits=lanes.admits(),
    )


def _drain(work: Work, items: tuple[Item, ...]) -> DrainProgress:
    oldest = items[0] if items else None
    return DrainProgress(work.lanes.total(), work.runs.active_count(), oldest, _left(work.drain.until))


def _quiet(vitals: Vitals) -> Quiet | None:
    spell = vitals.spell
    return spell and Quiet(spell.request.cause, spell.request.reason, spell.deadline.left())


def _left(deadline: Deadline) -> float | None:
    return None if deadline.timeout() is None else deadline.left()
