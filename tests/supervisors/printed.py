"""What ``gateway unit systemd`` and ``systemd-socket`` print, started for real.  Claims, as those of claims.py."""

from __future__ import annotations

import sys
import time

from http_tools import Client, Hammer
from speaking import ROOT, eventually, gateway

from .box import Box
from .claims import Bot, free_port

#: for documentation: no machine has it
ABSENT = "192.0.2.1"


class Printed(Bot):
    """The file as it is printed; what is added is where the tests find the package, and what was said."""

    def __init__(self, box: Box, name: str, port: int, host: str = "127.0.0.1") -> None:
        self.box, self.name = box, name
        self.folder = box.work / name
        self.run_dir, self.log = box.work / "run", self.folder / "log"
        self.run_dir.mkdir(mode=0o700, exist_ok=True)
        self.folder.mkdir()
        self.words = ("--name", "bot", "--run-dir", str(self.run_dir), "--bind", f"{host}:{port}")
        self.words += ("--lock-timeout", "0.1")
        here = f"Environment=PYTHONPATH={ROOT}\nStandardOutput=append:{self.log}\nStandardError=inherit\n"
        box.unit(f"{name}.service", self.text("systemd").replace("[Service]\n", f"[Service]\n{here}"))

    def text(self, kind: str) -> str:
        done = gateway("unit", kind, "--", *self.words)
        if done.returncode:
            self.fail(done.stderr)
        return done.stdout

    def serves(self, life: int, restarts: int) -> None:
        """So many starts by systemd, and the last of them is in this life."""
        self.settles("running")
        self.check((f"life {life} serves" in self.show("StatusText"), True))
        self.check((self.show("NRestarts"), str(restarts)))


def lost(clients: Hammer) -> dict[str, int]:
    """What came of the requests that were not answered."""
    return {how: count for how, count in clients.ended.items() if "200 OK" not in how and how != "right"}


def service(box: Box) -> str:
    """Start, doctor, reload, kill -9, a rival, stop: the file does what its comments say."""
    port = free_port()
    bot, rival = Printed(box, "bot", port), Printed(box, "rival", port)
    bot.start()
    bot.serves(1, 0)
    inside = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "gatewaylock"]
    asked = box.run(*inside, "doctor", *bot.words, "--unit", "bot.service")
    bot.check((asked.returncode, 0), ("ok    unit            bot.service: Type=notify" in asked.stdout, True))
    with Hammer(("127.0.0.1", port), fresh=1, kept=0, paths=("/healthz",)) as clients:
        pid = bot.show("MainPID")
        box.systemctl("reload", "bot")
        bot.serves(2, 0)
        bot.check((bot.show("MainPID"), pid), (lost(clients), {}))
        box.systemctl("kill", "-s", "KILL", "--kill-whom=main", "bot")
        bot.check((eventually(lambda: bot.show("NRestarts") == "1"), True))
        bot.serves(1, 1)
    bot.check((clients.ended["fresh: ConnectionRefusedError"], 0))

    pid = bot.show("MainPID")
    refused = box.run("systemctl", "start", "rival").returncode != 0
    rival.settles("failed")  # and not "auto-restart"
    rival.check((refused, True), (rival.show("ExecMainStatus"), "78"), (rival.show("NRestarts"), "0"))
    bot.check((bot.show("MainPID"), pid), (bot.answers(port), True))

    began = time.monotonic()
    box.systemctl("stop", "bot")
    took = time.monotonic() - began
    bot.check((bot.show("Result"), "success"), (box.pids("bot"), []), (bot.show("ActiveState"), "inactive"))
    return f"a rival was tried once; stopped after {took:.1f} s"


def sockets(box: Box) -> str:
    """The socket's file beside it: the first connection starts it, and none is lost over a reload and a restart."""
    port = free_port()
    bot = Printed(box, "bot", port)
    box.unit("bot.socket", bot.text("systemd-socket"))
    box.systemctl("start", "bot.socket")
    bot.check((bot.show("ActiveState"), "inactive"))
    with Client(("127.0.0.1", port)) as client:
        bot.check((client.get("/healthz")[0], "HTTP/1.1 200 OK"))
    bot.serves(1, 0)
    with Hammer(("127.0.0.1", port), fresh=1, kept=0, paths=("/healthz",)) as clients:
        box.systemctl("reload", "bot")
        bot.serves(2, 0)
        box.systemctl("restart", "bot")
        bot.serves(1, 0)
    bot.check((lost(clients), {}))
    box.systemctl("stop", "bot.socket", "bot")
    bot.check(
        (bot.show("Result"), "success"),
        (box.pids("bot"), []),
        (box.show("bot.socket", "SubState"), {"SubState": "dead"}),
    )
    return f"{sum(clients.ended.values())} requests, 0 lost"


def late_address(box: Box) -> str:
    """An address that is not there yet is tried again, and its socket is bound before it is there."""
    bot = Printed(box, "bot", free_port(), ABSENT)
    box.run("systemctl", "start", "bot")
    bot.check((eventually(lambda: int(bot.show("NRestarts")) >= 1), True))
    box.systemctl("stop", "bot")
    box.unit("bot.socket", bot.text("systemd-socket"))
    box.systemctl("start", "bot.socket")
    bot.check((box.show("bot.socket", "SubState")["SubState"], "listening"))
    box.systemctl("stop", "bot.socket")
    return "tried again"


EVERY = (service, sockets, late_address)
