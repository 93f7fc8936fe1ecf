"""The front door: its names, what it costs, what it never brings along."""

from __future__ import annotations

import subprocess
import sys

from speaking import environment

import gatewaylock


def fresh(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, env=environment()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_public_name_is_there_and_about_twenty_of_them() -> None:
    assert all(hasattr(gatewaylock, name) for name in gatewaylock.__all__)
    assert 15 <= len(gatewaylock.__all__) <= 26
    assert sorted(name for names in gatewaylock.ROOMS.values() for name in names) == sorted(
        gatewaylock.__all__
    )
    assert set(gatewaylock.__all__) <= set(dir(gatewaylock))


def test_the_import_brings_no_asyncio_no_portalocker_and_no_web_server() -> None:
    said = fresh(
        "import sys, gatewaylock.gateway;"
        "print({'asyncio', 'portalocker', 'waitress', 'argparse', 'subprocess'} & set(sys.modules))"
    )
    assert said.strip() == "set()"
