"""What is claimed of a gateway under systemd, each shown with a real one.  In short for CI, in long for the benchmark.

A claim is a function that raises AssertionError with the logs, or gives back its figures.
"""

from __future__ import annotations

import re
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from http_tools import Client, Hammer
from speaking import LIMIT, PROGRAMS, ROOT, environment, eventually, gateway, gateway_argv

from .box import Box

FRESH = ["MAINPID", "BARRIER"]
APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'fine']\n"
WORDS = r"\b(READY|RELOADING|STOPPING|MAINPID|EXTEND_TIMEOUT_USEC)=(\d+)"


class Bot:
    """One gateway as a service of *box*; *directives* of [Service] come on top of a plain Type=notify."""

    def __init__(self, box: Box, name: str, argv: Sequence[str | Path], **directives: object) -> None:
        self.box, self.name = box, name
        self.folder = box.work / name
        self.run_dir = self.folder / "run"
        self.log = self.folder / "log"
        words = [str(word).replace("RUN_DIR", str(self.run_dir)) for word in argv]
        given = {
            "Type": "notify",
            "ExecStart": shlex.join(words),
            "ExecReload": shlex.join(gateway_argv("restart", "--run-dir", self.run_dir)),
            "Environment": f"PYTHONPATH={ROOT}:{self.folder} PYTHONUNBUFFERED=1",
            "WorkingDirectory": self.folder,
            "KillMode": "mixed",
            "TimeoutStopSec": 20,
            "Restart": "on-failure",
            "RestartPreventExitStatus": 78,
            "StandardOutput": f"append:{self.log}",
            "StandardError": "inherit",
            "FileDescriptorStoreMax": 4,
            **directives,
        }
        limits = {key: given.pop(key) for key in list(given) if key.startswith("StartLimit")}
        with suppress(FileExistsError):
            self.run_dir.mkdir(mode=0o700, parents=True)
        lines = ["[Unit]", *(f"{key}={value}" for key, value in limits.items()), "[Service]"]
        lines += [f"{key}={value}" for key, value in given.items() if value is not None]
        box.unit(f"{name}.service", "\n".join([*lines, ""]))

    def start(self) -> None:
        self.box.systemctl("start", self.name)

    def restart(self, *words: str) -> str:
        """``gateway restart``, from outside, and wait until systemd knows."""
        done = gateway("restart", "--run-dir", self.run_dir, *words)
        if " serves (pid " not in done.stdout:
            self.fail(done.stderr)
        self.settles("running")
        return done.stdout

    def settles(self, state: str, limit: float = LIMIT) -> None:
        """Wait for a SubState."""
        if not eventually(lambda: self.show("SubState") == state, limit):
            self.fail(f"never {state}")

    def show(self, key: str) -> str:
        return self.box.show(self.name, key)[key]

    def told(self, only: str = r"\w+") -> list[str]:
        """What systemd has heard of the phases, in order; BARRIER it does not log."""
        said = []
        for line in self.box.log().splitlines():
            if f"{self.name}.service: Got notification message" in line:
                said += [key for key, _ in re.findall(WORDS, line) if re.fullmatch(only, key)]
        return said

    def beats(self) -> int:
        """Signs of life that systemd has heard."""
        said = rf"{self.name}\.service: Got notification message .*WATCHDOG=1\)"
        return len(re.findall(said, self.box.log()))

    def answers(self, port: int) -> bool:
        with suppress(OSError, EOFError), Client(("127.0.0.1", port)) as client:
            return client.get("/healthz")[0].startswith("HTTP/1.1 ")
        return False

    def fail(self, why: str) -> NoReturn:
        text = self.log.read_text() if self.log.exists() else ""
        raise AssertionError(f"{self.name}: {why}\n{text}\n" + "\n".join(self.box.log().splitlines()[-40:]))

    def check(self, *claims: tuple[object, object]) -> None:
        for found, wanted in claims:
            if found != wanted:
                self.fail(f"{found!r} is not {wanted!r}")


def page(*words: str) -> list[str]:
    """The built-in page on any port."""
    return gateway_argv("run", "--run-dir", "RUN_DIR", "--bind", "127.0.0.1:0", "--probation", "0.2", *words)


def lives(start: str, options: str = "", close: str = "") -> tuple[list[str | Path], str]:
    """tests/programs/lives.py, and the environment that tells it what to do."""
    env = environment(START=start, OPTIONS=f"dict({options})", CLOSE=close)
    wanted = ("START", "OPTIONS", "CLOSE", "PYTHONPATH", "PYTHONUNBUFFERED")
    text = " ".join('"' + f"{key}={env[key]}".replace("%", "%%").replace('"', '\\"') + '"' for key in wanted)
    return [sys.executable, PROGRAMS / "lives.py", "RUN_DIR"], text


def free_port() -> int:
    """One that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def order(box: Box, times: int = 3) -> str:
    """Start, *times* restarts of each mode, stop: systemd hears of each phase, in order, and of nothing else."""
    bot = Bot(box, f"order{times}", page(), WatchdogSec=2)
    bot.start()
    wanted, pids = ["READY"], {bot.show("MainPID")}
    for mode in ("exec", "in-process", "spawn", "overlap"):
        for _ in range(times):
            bot.restart("--mode", mode)
            wanted += ["RELOADING", *(["MAINPID"] if mode in ("spawn", "overlap") else []), "READY"]
            pids.add(bot.show("MainPID"))
    bot.check((bot.show("NRestarts"), "0"), (len(pids), 1 + 2 * times), (len(box.pids(bot.name)), 1))
    bot.check(("not our child" in box.log(), False))
    box.systemctl("stop", bot.name)
    heard = [word for word in bot.told() if word != "EXTEND_TIMEOUT_USEC"]
    bot.check((heard, [*wanted, "STOPPING"]), (bot.show("Result"), "success"), (box.pids(bot.name), []))
    return f"{4 * times} restarts, {len(pids)} main pids"


def reload(box: Box, kind: str = "notify") -> str:
    """``systemctl reload`` returns when the next life serves, and fails when it does not."""
    argv = gateway_argv("run", "mine:app", "--run-dir", "RUN_DIR", "--bind", "127.0.0.1:0")
    (box.work / kind).mkdir()
    file = box.work / kind / "mine.py"
    file.write_text(APP)
    bot = Bot(box, kind, argv, Type=kind, **({} if kind == "notify" else {"ExecReload": None}))
    bot.start()
    began = time.monotonic()
    box.systemctl("reload", bot.name)
    took = time.monotonic() - began
    bot.check(("life 2 serves" in bot.show("StatusText"), True), (bot.show("SubState"), "running"))
    file.write_text("raise OSError('broken')")
    failed = box.run("systemctl", "reload", bot.name).returncode != 0
    bot.check((failed, kind == "notify"), (bot.show("SubState"), "running"))
    bot.check(("OSError: broken" in bot.show("StatusText"), True), (bot.told()[-2:], ["RELOADING", "READY"]))
    box.systemctl("stop", bot.name)
    return f"{took:.2f} s"


def crash(box: Box, times: int = 10) -> str:
    """kill -9: no connection is refused, and who waits is served by the next life."""
    port = free_port()
    argv = gateway_argv("run", "--run-dir", "RUN_DIR", "--bind", f"127.0.0.1:{port}")
    limits = {"StartLimitBurst": 100, "StartLimitIntervalSec": 1}
    bot = Bot(box, "crash", argv, Restart="always", RestartSec="300ms", **limits)
    bot.start()
    waits = []
    with Hammer(("127.0.0.1", port), fresh=4, kept=0, paths=("/healthz",)) as clients:
        for number in range(1, times + 1):
            box.systemctl("kill", "-s", "KILL", "--kill-whom=main", bot.name)
            with Client(("127.0.0.1", port)) as client:
                began = time.monotonic()
                client.send("GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
                bot.check((client.answer()[0], "HTTP/1.1 200 OK"))
                waits.append(time.monotonic() - began)
            bot.check((eventually(lambda: bot.show("NRestarts") == str(number)), True))  # noqa: B023
            bot.settles("running")
    bot.check((clients.ended["fresh: ConnectionRefusedError"], 0), (bot.show("NFileDescriptorStore"), "1"))
    box.systemctl("stop", bot.name)
    asked = sum(clients.ended.values())
    return f"{times} x kill -9: 0 of {asked} connections refused; who came meanwhile waited {max(waits):.2f} s at most"


def plain_restart(box: Box, times: int = 5) -> str:
    """``systemctl restart``, a stop and a start: the store keeps the socket, and nobody is refused."""
    port = free_port()
    argv = gateway_argv("run", "--run-dir", "RUN_DIR", "--bind", f"127.0.0.1:{port}")
    bot = Bot(box, "plain", argv, StartLimitBurst=100)
    bot.start()
    with Hammer(("127.0.0.1", port), fresh=4, kept=4, paths=("/healthz",)) as clients:
        for _ in range(times):
            box.systemctl("restart", bot.name)
    box.systemctl("stop", bot.name)
    lost = {how: count for how, count in clients.ended.items() if "200 OK" not in how and how != "right"}
    bot.check((lost, {}))
    return f"{times} restarts, {sum(clients.ended.values())} requests, 0 lost"


def progress(box: Box, drain: float = 8.0) -> str:
    """A stop that takes longer than TimeoutStopSec= is not killed while its work gets less."""
    argv, env = lives(
        f"[gateway.lanes.submit(sleeps, 0.5) for _ in range({int(drain * 2)})]", "limits=Limits(stop=60)"
    )
    bot = Bot(box, "progress", argv, Environment=env, TimeoutStopSec=2)
    bot.start()
    began = time.monotonic()
    box.systemctl("stop", bot.name)
    took = time.monotonic() - began
    bot.check((bot.show("Result"), "success"), (took > 2, True), (bot.told("EXTEND.*") != [], True))
    bot.check((bot.log.read_text().count("slept"), int(drain * 2)))
    return f"TimeoutStopSec=2, stopped by itself after {took:.1f} s"


def no_progress(box: Box) -> str:
    """A stop whose work does not get less is ended by the gateway, before systemd does it."""
    argv, env = lives("gateway.lanes.submit(hold.wait)", "limits=Limits(stop=60)")
    bot = Bot(box, "idle", argv, Environment=env, TimeoutStopSec=3)
    bot.start()
    began = time.monotonic()
    box.systemctl("stop", bot.name)
    took = time.monotonic() - began
    bot.check((bot.show("Result"), "success"), (bot.told("EXTEND.*"), []))
    bot.check(("no work ends any more" in bot.log.read_text(), True))
    return f"TimeoutStopSec=3, ended by itself after {took:.1f} s"


def long_boot(box: Box, seconds: float = 5.0) -> str:
    """WatchdogSec=2 bears a start of 5 s, at first and after an exec, and a life in between and after."""
    argv, env = lives(f"time.sleep({seconds})")
    bot = Bot(box, "boot", argv, Environment=env, WatchdogSec=2)
    bot.start()
    bot.restart("--name", "lives")
    before = bot.beats()
    bot.check((eventually(lambda: bot.beats() >= before + 5), True))
    bot.check((bot.show("NRestarts"), "0"), (bot.show("SubState"), "running"))
    box.systemctl("stop", bot.name)
    bot.check((bot.show("Result"), "success"))
    return f"{bot.beats()} signs of life over two lives"


def stuck_loop(box: Box) -> str:
    """The watchdog fires when the main loop is stuck, although a thread of ours could go on saying that all is well."""
    argv, env = lives("import signal; signal.signal(signal.SIGUSR2, lambda *_: time.sleep(60))")
    bot = Bot(box, "stuck", argv, Environment=env, WatchdogSec=1, Restart="no")
    bot.start()
    began = time.monotonic()
    box.systemctl("kill", "-s", str(int(signal.SIGUSR2)), "--kill-whom=main", bot.name)
    bot.settles("failed")
    took = time.monotonic() - began
    bot.check((bot.show("Result"), "watchdog"))
    return f"WatchdogSec=1, ended {took:.1f} s after it was stuck"


def start_limit(box: Box, restarts: int = 20) -> str:
    """Restarts do not count as starts: five crashes are left after any number of them."""
    limits = {"StartLimitBurst": 5, "StartLimitIntervalSec": 300}
    bot = Bot(box, "limit", page(), Restart="always", RestartSec="100ms", **limits)
    bot.start()
    for life in range(2, restarts + 2):
        bot.check((f"life {life} serves" in bot.restart(), True))
    for crash in range(1, 5):
        box.systemctl("kill", "-s", "KILL", "--kill-whom=main", bot.name)
        bot.check((eventually(lambda: bot.show("NRestarts") == str(crash)), True))  # noqa: B023
        bot.settles("running")
    box.systemctl("kill", "-s", "KILL", "--kill-whom=main", bot.name)
    bot.settles("failed")
    return f"{restarts} restarts, then 4 crashes were borne, and the 5th was one too many"


def socket_unit(box: Box) -> str:
    """A socket unit's socket: the first connection starts the service, and a restart keeps it."""
    port = free_port()
    argv = gateway_argv("run", "--run-dir", "RUN_DIR", "--bind", f"127.0.0.1:{port}")
    bot = Bot(box, "web", argv, FileDescriptorStoreMax=0)
    box.unit("web.socket", f"[Socket]\nListenStream=127.0.0.1:{port}\n")
    box.systemctl("start", "web.socket")
    bot.check((bot.show("ActiveState"), "inactive"), (bot.answers(port), True))
    bot.settles("running")
    for mode in ("exec", "spawn"):
        bot.restart("--mode", mode)
        bot.check((bot.answers(port), True))
    box.systemctl("restart", bot.name)
    bot.check((bot.answers(port), True))
    box.systemctl("stop", "web.socket", bot.name)
    return "started by the first connection"


def simple(box: Box) -> str:
    """Type=simple with NotifyAccess=main is enough for a fresh pid; without it, exec takes its place."""
    bot = Bot(box, "simple", page("--restart-mode", "spawn"), Type="simple", NotifyAccess="main")
    bot.start()
    bot.check((eventually(lambda: "life 1 serves" in bot.show("StatusText")), True))
    first = bot.show("MainPID")
    bot.restart()
    bot.check((bot.show("MainPID") != first, True), (len(box.pids(bot.name)), 1))
    box.systemctl("stop", bot.name)
    bot.check((bot.show("Result"), "success"))
    deaf = Bot(box, "deaf", page("--restart-mode", "spawn"), Type="simple", FileDescriptorStoreMax=0)
    deaf.start()
    deaf.check((eventually(lambda: "serving: " in deaf.log.read_text()), True))
    first = deaf.show("MainPID")
    deaf.restart()
    deaf.check((deaf.show("MainPID"), first), ("exec, which keeps the pid" in deaf.log.read_text(), True))
    box.systemctl("stop", deaf.name)
    return "spawn with NotifyAccess=main, exec without"


def notify_reload(box: Box) -> str:
    """The same by Type=notify-reload, which systemd has from 253 on: SIGHUP, and no word on a failure but STATUS=."""
    return reload(box, "notify-reload")


Claim = Callable[[Box], str]
EVERY: tuple[Claim, ...] = (
    order, reload, crash, plain_restart, progress, no_progress, long_boot, stuck_loop, start_limit, socket_unit, simple,
)  # fmt: skip
