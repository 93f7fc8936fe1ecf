"""Under a real systemd, as pid 1 of namespaces of its own.  More of it: python -m tests.benchmarks.systemd"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisors import claims, printed
from supervisors.box import Box, boxed, why_no_box


@pytest.fixture
def box(run_dir: Path) -> Iterator[Box]:
    """A booted one that says what it is told."""
    if why := why_no_box():
        pytest.skip(why)
    with boxed(run_dir, "--log-level=debug") as booted:
        yield booted


def test_systemd_hears_of_every_phase_in_order_whatever_the_restart_mode(box: Box) -> None:
    claims.order(box, 1)


def test_systemctl_reload_returns_when_the_next_life_serves_and_fails_when_it_does_not(box: Box) -> None:
    claims.reload(box)


def test_kill_9_refuses_no_connection_while_systemd_starts_the_next_life(box: Box) -> None:
    claims.crash(box, 1)


def test_a_stop_without_progress_ends_before_systemd_kills(box: Box) -> None:
    claims.no_progress(box)


@pytest.mark.parametrize("claim", [printed.service, printed.sockets], ids=lambda claim: claim.__name__)
def test_the_files_that_are_printed_do_what_they_say(box: Box, claim: claims.Claim) -> None:
    claim(box)
