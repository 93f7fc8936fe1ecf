"""A real browser: Debian's chromium, headless, driven through chromedriver's HTTP API by the stdlib alone."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speaking import started

BINARY, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PHONE, DESKTOP = (390, 844), (1280, 900)  #: CSS pixels


class Browser:
    """One session."""

    def __init__(self, base: str) -> None:
        self._base = base

    def call(self, verb: str, path: str, **fields: Any) -> Any:
        """One command of the WebDriver protocol; what it gives back."""
        data = json.dumps(fields).encode() if verb == "POST" else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._base + path, data, headers, method=verb)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def cdp(self, command: str, **params: Any) -> Any:
        """One command of the DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", cmd=command, params=params)

    def look_like(self, size: tuple[int, int], scheme: str, *, script: bool = True) -> None:
        """A screen of *size*, "light" or "dark", with JavaScript or without."""
        width, height = size
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.cdp("Emulation.setScriptExecutionDisabled", value=not script)

    def open(self, url: str) -> None:
        """Go there."""
        self.call("POST", "/url", url=url)

    def run(self, script: str, *args: Any) -> Any:
        """The value of a function body in the page."""
        return self.call("POST", "/execute/sync", script=script, args=list(args))

    def text(self) -> str:
        """What a person reads."""
        return str(self.run("return document.body.innerText"))

    def overflows(self) -> bool:
        """Whether anything is wider than the screen."""
        wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.run(wide))

    def shoot(self, path: Path) -> None:
        """The whole page, as a picture."""
        shot = self.cdp("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self) -> list[str]:
        """What the console has said since the last time."""
        return [f"{line['level']} {line['message']}" for line in self.call("POST", "/se/log", type="browser")]


@contextmanager
def browser() -> Iterator[Browser]:
    """A fresh one, gone at the end."""
    assert BINARY and DRIVER
    with (
        tempfile.TemporaryDirectory(prefix="gw-chrome-", ignore_cleanup_errors=True) as home,
        started(DRIVER, "--port=0", HOME=home) as driver,
    ):
        port = driver.hears(r"started successfully on port (\d+)")[1]
        switches = [
            "--headless=new",
            "--disable-gpu",
            "--no-first-run",
            f"--user-data-dir={home}/profile",
        ]
        switches += ["--no-sandbox"] if os.geteuid() == 0 else []
        options = {"binary": BINARY, "args": switches}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        root = Browser(f"http://127.0.0.1:{port}")
        session = root.call("POST", "/session", capabilities={"alwaysMatch": wanted})["sessionId"]
        page = Browser(f"http://127.0.0.1:{port}/session/{session}")
        try:
            yield page
        finally:
            page.call("DELETE", "")
