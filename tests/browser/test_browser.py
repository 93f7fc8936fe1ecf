"""The page in a real browser, while a gateway with thirty items restarts.  Skipped where there is no chromium.

GATEWAY_SHOTS=DIR keeps the pictures: before, during and after, on a phone and a desktop, light and dark.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from chrome import BINARY, DESKTOP, DRIVER, PHONE, Browser, browser
from speaking import Program, eventually, gateway, gateway_argv, started

pytestmark = pytest.mark.skipif(not (BINARY and DRIVER), reason="needs chromium and chromedriver")

HERE = Path(__file__).parent
TOKEN = "sixteen-or-more!"
LOOKS = [
    (name, size, scheme)
    for name, size in (("phone", PHONE), ("desktop", DESKTOP))
    for scheme in ("light", "dark")
]


@contextmanager
def thirty(run_dir: Path, here: Path) -> Iterator[tuple[Program, str]]:
    """The gateway, and where its page is."""
    options = [
        "--factory",
        "--run-dir",
        run_dir,
        "--name",
        "thirty",
        "--admin",
        "127.0.0.1:0",
        "--drain-timeout",
        "80",
    ]
    command = gateway_argv("run", "thirty:start", *options)
    path = f"{HERE}:{HERE.parent.parent}"
    with started(*command, cwd=here, PYTHONPATH=path, GATEWAY_ADMIN_TOKEN=TOKEN) as said:
        port = said.hears(r"admin page on http://127.0.0.1:(\d+)/")[1]
        said.hears("serving:")
        yield said, f"http://127.0.0.1:{port}/"


def look(page: Browser, moment: str, shots: Path, *, script: bool = True) -> None:
    """On each screen: nothing is cut off, the console is silent; and a picture of it."""
    url = page.run("return location.href")
    for name, size, scheme in LOOKS:
        page.look_like(size, scheme, script=script)
        if not script:
            page.open(url)
        assert not page.overflows(), (moment, name)
        page.shoot(shots / f"{moment}-{name}-{scheme}{'' if script else '-no-js'}.png")
        assert page.complaints() == []


def shows(page: Browser, *patterns: str) -> bool:
    text = " ".join(page.text().split())
    return all(re.search(pattern, text) for pattern in patterns)


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where the pictures go."""
    where = Path(os.environ.get("GATEWAY_SHOTS") or tmp_path / "shots")
    where.mkdir(exist_ok=True)
    return where


def test_a_restart_with_thirty_items_before_during_and_after(
    run_dir: Path, tmp_path: Path, shots: Path
) -> None:
    whom = ("--name", "thirty", "--run-dir", run_dir)
    with thirty(run_dir, tmp_path) as (said, url), browser() as page:
        page.look_like(*LOOKS[3][1:])
        page.open(url)
        assert eventually(lambda: shows(page, "Serving", "6 running, 23 waiting, 1 run", "live gatewaylock"))
        page.run("window.same = document.getElementById('hero')")
        look(page, "1-before", shots)
        assert gateway("restart", *whom, "--reason", "release 7 <b>", "--no-wait").returncode == 0
        asked = r"by gateway restart .*: “release 7 <b>”"
        assert eventually(
            lambda: shows(page, "Draining before a restart", "left to end 30 of 30", asked, "1 min")
        )
        (tmp_path / "go").write_text("12")
        assert eventually(lambda: shows(page, "left to end 18 of 30", "What it waits for"))
        look(page, "2-during", shots)
        (tmp_path / "go").write_text("40")
        said.hears("life=2")
        assert eventually(
            lambda: shows(page, "Serving", "life 2", "Restart exec", "nothing under way", "live gatewaylock")
        )
        look(page, "3-after", shots)
        assert page.run("return window.same === document.getElementById('hero')")  # never loaded anew
        assert page.complaints() == []


def test_it_is_useful_without_javascript(run_dir: Path, tmp_path: Path, shots: Path) -> None:
    with thirty(run_dir, tmp_path) as (_, url), browser() as page:
        page.look_like(PHONE, "light", script=False)
        page.open(url)
        assert shows(page, "Serving", "6 running, 23 waiting", "chat-0", "nightly <compaction>", "Steer")
        assert page.run("return document.querySelector('noscript meta') !== null || document.title !== ''")
        whom = ("--name", "thirty", "--run-dir", run_dir)
        assert gateway("restart", *whom, "--no-wait").returncode == 0
        assert eventually(lambda: shows(page, "Draining before a restart"))  # it looks again by itself
        look(page, "4-without", shots, script=False)


def test_steering_from_the_page(run_dir: Path, tmp_path: Path, shots: Path) -> None:
    with thirty(run_dir, tmp_path) as (said, url), browser() as page:
        page.look_like(DESKTOP, "light")
        page.open(url)
        page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
        page.run("document.querySelector('[name=token]').value = arguments[0]", TOKEN)
        page.run("document.querySelector('[name=reason]').value = 'too much'")
        page.shoot(shots / "5-steer.png")
        page.run("document.querySelector('button[name=cancel]').click()")
        assert eventually(lambda: shows(page, "is cancelled|was asked to give up"))
        page.run("document.querySelector('button[value=quiet]').click()")
        assert eventually(lambda: shows(page, "Quiet: no new work is taken", r"admin page .*: “too much”"))
        assert page.run("return document.querySelector('details.steer').open")
        assert page.complaints() == []
        page.run("document.querySelector('[name=token]').value = 'wrong'")
        page.run("document.querySelector('button[value=resume]').click()")
        assert eventually(lambda: shows(page, "not the admin token"))
        assert "401" in "".join(page.complaints())
        assert "too much" in said.text()


def test_the_built_in_application_shows_the_same_page_and_looks_again(run_dir: Path) -> None:
    options = ["--run-dir", run_dir, "--bind", "127.0.0.1:0", "--name", "plain"]
    with started(*gateway_argv("run", *options)) as said, browser() as page:
        port = said.hears(r"address=127.0.0.1:(\d+)")[1]
        page.look_like(PHONE, "dark")
        page.open(f"http://127.0.0.1:{port}/")
        assert eventually(lambda: shows(page, "Serving", "life 1", "looks every 2 s"))
        assert gateway("restart", "--run-dir", run_dir, "--name", "plain").returncode == 0
        assert eventually(lambda: shows(page, "Serving", "life 2", "Restart exec"))
        assert page.complaints() == []
        assert not page.overflows()
