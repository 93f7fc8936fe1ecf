"""More that is claimed of a gateway under systemd: where something takes longer than somebody waits.

Claims as those of ``claims.py``, and for the benchmark alone.
"""

from __future__ import annotations

import signal

from speaking import eventually

from .box import Box
from .claims import Bot, Claim, lives


def slow_leave(box: Box) -> str:
    """A process that needs longer to end than WatchdogSec= does not let its successor seem dead."""
    argv, env = lives(
        "__import__('atexit').register(time.sleep, gateway.life == 1 and 3)", "restart_mode='spawn'"
    )
    bot = Bot(box, "leave", argv, Environment=env, WatchdogSec=2, Restart="no")
    bot.start()
    first = bot.show("MainPID")
    bot.restart("--name", "lives")
    before = bot.beats()
    bot.check((eventually(lambda: bot.beats() >= before + 2), True), (bot.show("MainPID") != first, True))
    box.systemctl("stop", bot.name)
    bot.check((bot.show("Result"), "success"), (bot.told()[-2:], ["READY", "STOPPING"]))
    return "WatchdogSec=2, 3 s to leave"


def held(box: Box) -> str:
    """A stop in which C code keeps the interpreter is ended by the gateway, before systemd does it."""
    argv, env = lives("", "limits=Limits(stop=60)", "import ctypes; ctypes.PyDLL(None).sleep(60)")
    bot = Bot(box, "held", argv, Environment=env, TimeoutStopSec=3, Restart="no")
    bot.start()
    box.systemctl("stop", bot.name)
    bot.check((bot.show("Result"), "exit-code"), ("in close" in bot.log.read_text(), True))
    return "TimeoutStopSec=3, ended by the watchdog's second line"


def lame_duck(box: Box) -> str:
    """A lame duck that does not fit into TimeoutStopSec= is cut, although systemd says that after the start."""
    argv, env = lives("", "limits=Limits(stop=2, lame_duck=20)")
    bot = Bot(box, "lame", argv, Environment=env, Type="exec", NotifyAccess="none", TimeoutStopSec=4)
    bot.start()
    for said in ("cut to 3 s with 1 s of lame duck", "serving: "):
        bot.check((eventually(lambda: said in bot.log.read_text()), True))  # noqa: B023
    box.systemctl("stop", bot.name)
    bot.check((bot.show("Result"), "success"), ("still taken for 1 s" in bot.log.read_text(), True))
    return "TimeoutStopSec=4, 1 s of 20 s"


def long_restart(box: Box) -> str:
    """A restart whose drain and start both take longer than TimeoutStartSec= is no reload that timed out."""
    work = "[gateway.lanes.submit(sleeps, 0.5) for _ in range(9)]"
    argv, env = lives(
        f"gateway.life == 1 and {work}; time.sleep(gateway.life == 3 and 4)", "allow_sigusr1=True"
    )
    bot = Bot(box, "long", argv, Environment=env, TimeoutStartSec=3)
    bot.start()
    for life in (2, 3):
        box.systemctl("kill", "-s", str(int(signal.SIGUSR1)), "--kill-whom=main", bot.name)
        serves = f" life={life} "
        bot.check((eventually(lambda: serves in bot.log.read_text()), True))  # noqa: B023
        bot.settles("running")
    bot.check(("operation timed out" in box.log(), False), (bot.show("NRestarts"), "0"))
    box.systemctl("stop", bot.name)
    bot.check((bot.show("Result"), "success"))
    return "TimeoutStartSec=3, a drain of 4.5 s, then a start of 4 s"


EVERY: tuple[Claim, ...] = (slow_leave, held, lame_duck, long_restart)
