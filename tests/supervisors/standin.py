"""A stand-in for systemd with one service, for machines on which no systemd can be had.

    python standin.py '{"exec": ["gateway", "run"], "type": "notify", ...}'      (see ``Settings``)

It reads commands from stdin, one a line (start, stop, reload, kill NUMBER, deaf, hear, show, quit), and
writes what happens to stdout, one line each.  No root and no cgroups: what belongs to the unit is what
descends from this process, which makes itself the reaper of orphans, as pid 1 is.

Modelled: credentials and NotifyAccess=, MAINPID= and what comes of one that is not our child, READY,
RELOADING with its instant, STOPPING and that nothing undoes it, STATUS, BARRIER, EXTEND_TIMEOUT_USEC,
WATCHDOG, WATCHDOG_USEC, FDSTORE and FDSTOREREMOVE, a socket unit, KillMode=mixed, timeouts, Restart= and
the start limit.
"""

from __future__ import annotations

import array
import ctypes
import json
import math
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
CLEAN = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


@dataclass
class Settings:
    """What a unit file would say; seconds."""

    exec: list[str]
    env: dict[str, str] = field(default_factory=dict)
    type: str = "notify"
    access: str = "main"
    restart: str = "on-failure"
    restart_sec: float = 0.1
    prevent: list[int] = field(default_factory=lambda: [78])
    burst: int = 5
    interval: float = 10.0
    timeout_start: float = 30.0
    timeout_stop: float = 20.0
    watchdog: float = 0.0
    store: int = 0  #: FileDescriptorStoreMax=
    abstract: bool = False
    reload: list[str] = field(default_factory=list)  #: ExecReload=
    sockets: list[list[str]] = field(
        default_factory=list
    )  #: [FileDescriptorName=, "127.0.0.1:PORT" or a path]


def say(*words: object) -> None:
    """One line about what happened."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # in one piece: the service writes there as well


def family(root: int) -> list[int]:
    """Everything that descends from *root*."""
    kin: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            kin.setdefault(int(parent), []).append(int(name))
    found, left = [], [root]
    while left:
        children = kin.get(left.pop(), [])
        found += children
        left += children
    return found


def parent_of(pid: int) -> int:
    """Of *pid*; -1 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return -1


class Unit:
    """The service."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state, self.result, self.main, self.alien = "inactive", "success", 0, False
        self.status, self.restarts, self.told_to_stop = "", 0, False
        self.starts: list[float] = []
        self.store: dict[int, str] = {}
        self.due: dict[str, float] = {}  # what runs out -> when
        self.reload_begun, self.control, self.dying = 0.0, 0, False
        self.deaf = False
        self.watch = settings.watchdog
        self.folder = tempfile.TemporaryDirectory(prefix="sd-")
        name = self.folder.name + "/notify"
        self.path = "@" + name if settings.abstract else name
        self.inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.inbox.bind("\0" + name if settings.abstract else name)
        self.inbox.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.inbox.setblocking(False)
        self.passed = [(name, _listener(where)) for name, where in settings.sockets]

    # -- what is asked of it -------------------------------------------------------------------------

    def start(self) -> None:
        now, settings = time.monotonic(), self.settings
        self.starts = [at for at in self.starts if now - at < settings.interval]
        if len(self.starts) >= settings.burst:
            self.enter("failed", "start-limit-hit")
            return
        self.starts.append(now)
        self.result, self.told_to_stop, self.dying, self.watch = "success", False, False, settings.watchdog
        fds = [(name, sock.fileno()) for name, sock in self.passed] + [
            (n, fd) for fd, n in self.store.items()
        ]
        pid = os.fork()
        if pid == 0:
            self._become(fds)
        self.main, self.alien = pid, False
        say("started", pid)
        if settings.type.startswith("notify"):
            self.enter("activating", timeout=settings.timeout_start)
        else:
            self.enter("active")

    def _become(self, fds: list[tuple[str, int]]) -> None:
        try:
            environ = {**os.environ, **self.settings.env}
            environ |= {"INVOCATION_ID": os.urandom(16).hex(), "SYSTEMD_EXEC_PID": str(os.getpid())}
            if self.settings.access != "none":
                environ["NOTIFY_SOCKET"] = self.path
            if self.settings.watchdog:
                environ |= {
                    "WATCHDOG_USEC": f"{self.settings.watchdog * 1e6:.0f}",
                    "WATCHDOG_PID": str(os.getpid()),
                }
            if fds:
                environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds))}
                environ["LISTEN_FDNAMES"] = ":".join(name for name, _ in fds)
            high = [os.dup2(fd, 100 + at) for at, (_, fd) in enumerate(fds)]
            for at, fd in enumerate(high):
                os.dup2(fd, 3 + at, inheritable=True)
            os.closerange(3 + len(fds), 200)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.execvpe(self.settings.exec[0], self.settings.exec, environ)
        finally:
            os._exit(203)

    def stop(self) -> None:
        self.told_to_stop = True
        if self.state in ("inactive", "failed", "auto-restart"):
            self.due.clear()
            self.enter("inactive")
            return
        self.enter("deactivating", timeout=self.settings.timeout_stop)
        self.kill([self.main], signal.SIGTERM)
        if self.alien:
            say("the main process is not our child: not waited for")
            self.kill(family(os.getpid()), signal.SIGKILL)

    def reload(self) -> None:
        if self.state != "active":
            say("reload not now:", self.state)
            return
        self.reload_begun = time.monotonic()
        if self.settings.reload:
            self.enter("reload-command", timeout=self.settings.timeout_start)
            self.control = os.fork()
            if self.control == 0:
                os.dup2(2, 1)
                os.execvpe(self.settings.reload[0], self.settings.reload, {**os.environ, **self.settings.env})
        else:
            self.enter("reload-signal", timeout=self.settings.timeout_start)
            self.kill([self.main], signal.SIGHUP)

    def kill(self, pids: list[int], number: int) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    # -- where it is ---------------------------------------------------------------------------------

    def enter(self, state: str, result: str = "", timeout: float = math.inf) -> None:
        self.state = state
        self.result = result or self.result
        if math.isinf(timeout):
            self.due.pop("state", None)
        else:
            self.due["state"] = time.monotonic() + timeout
        if state in ("active", "reload-signal", "reload-command", "reloading"):
            if self.watch and "watchdog" not in self.due:
                self.due["watchdog"] = time.monotonic() + self.watch
        else:
            self.due.pop("watchdog", None)
        say("state", state, self.result if state in ("failed", "inactive") else "")

    def expire(self, what: str) -> None:
        if what == "restart":
            self.restarts += 1
            self.start()
        elif what == "watchdog":
            say("watchdog timeout")
            self.kill([self.main], signal.SIGABRT)
            self.enter("deactivating", "watchdog", self.settings.timeout_stop)
        elif self.state == "activating":
            self.enter("deactivating", "timeout", self.settings.timeout_stop)
            self.kill([self.main], signal.SIGTERM)
        elif self.state.startswith("reload"):
            say("reload timed out")
            self.enter("active")
        elif self.state == "deactivating":
            say("stop timed out")
            self.result = "timeout"
            self.kill(family(os.getpid()), signal.SIGKILL)

    def ended(self, pid: int, status: int) -> None:
        if pid == self.control:
            self.control = 0
            if self.state == "reload-command":
                say("reload", "done" if status == 0 else "failed")
                self.enter("active")
        if pid != self.main:
            return
        code = os.waitstatus_to_exitcode(status)
        say("exited", pid, code)
        clean = code == 0 or -code in CLEAN
        if self.result == "success" and not clean:
            self.result = "exit-code" if code > 0 else "signal"
        self.main = 0
        self.kill(family(os.getpid()), signal.SIGKILL)  # KillMode=mixed: whoever is left
        wanted = self.settings.restart == "always" or (
            self.settings.restart == "on-failure" and self.result != "success"
        )
        if wanted and not self.told_to_stop and code not in self.settings.prevent:
            self.due.clear()
            self.due["restart"] = time.monotonic() + self.settings.restart_sec
            self.enter("auto-restart")
            return
        self.due.clear()
        for fd in list(self.store):
            os.close(fd)
        self.store.clear()
        self.enter("inactive" if self.result == "success" else "failed")

    # -- what it is told -----------------------------------------------------------------------------

    def read(self) -> None:
        while not self.deaf:
            try:
                data, ancillary, _, _ = self.inbox.recvmsg(4096, 4096)
            except BlockingIOError:
                return
            pid, fds = 0, array.array("i")
            for _, kind, value in ancillary:
                if kind == socket.SCM_CREDENTIALS:
                    pid = struct.unpack("3i", value[:12])[0]
                else:
                    fds.frombytes(value[: len(value) // 4 * 4])
            kept = self.hear(pid, data.decode(), list(fds))
            for fd in fds:
                if fd != kept:
                    os.close(fd)  # what ends a barrier

    def hear(self, pid: int, text: str, fds: list[int]) -> int:
        """The descriptor to keep, or -1."""
        if text.strip() == "BARRIER=1":  # of anybody: systemd looks for it first
            say("told", pid, text)
            return -1
        if pid != self.main and self.settings.access == "main":
            say("rejected", pid, text.replace("\n", " "))
            return -1
        say("told", pid, text.replace("\n", " "))
        words = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        if "MAINPID" in words:
            self.new_main(int(words["MAINPID"]))
        self.phase(words)
        self.status = words.get("STATUS", self.status)
        now = time.monotonic()
        if "EXTEND_TIMEOUT_USEC" in words:
            until = now + int(words["EXTEND_TIMEOUT_USEC"]) / 1e6
            self.due.update({what: max(at, until) for what, at in self.due.items() if "state" in self.due})
        if "WATCHDOG_USEC" in words:
            self.watch = int(words["WATCHDOG_USEC"]) / 1e6
        if ("WATCHDOG_USEC" in words or words.get("WATCHDOG") == "1") and self.state != "activating":
            self.due.pop("watchdog", None)
            if self.watch:
                self.due["watchdog"] = now + self.watch  # in whatever state, as systemd does
        return self.keep(words, fds)

    def new_main(self, pid: int) -> None:
        if pid != self.main and pid in family(os.getpid()):
            self.main, self.alien = pid, parent_of(pid) != os.getpid()
            say("main process", pid, "which is not our child" if self.alien else "")

    def phase(self, words: dict[str, str]) -> None:
        if words.get("STOPPING") == "1":
            self.dying = True
            if self.state in ("active", "reload-signal", "reloading"):
                self.enter("deactivating", timeout=self.settings.timeout_stop)
        elif self.dying:
            return
        elif words.get("READY") == "1":
            if self.state == "reloading":
                say("reload done")
            if self.state in ("activating", "reloading"):
                self.enter("active")
        elif words.get("RELOADING") == "1":
            fresh = int(words.get("MONOTONIC_USEC", "0")) / 1e6 >= self.reload_begun
            if self.state == "reload-signal" and fresh:
                self.state = "reloading"  # its time goes on
            elif self.state == "active":
                self.enter("reloading", timeout=self.settings.timeout_start)

    def keep(self, words: dict[str, str], fds: list[int]) -> int:
        name = words.get("FDNAME", "stored")
        if words.get("FDSTOREREMOVE") == "1":
            for fd in [fd for fd, kept in self.store.items() if kept == name]:
                del self.store[fd]
                os.close(fd)
        if words.get("FDSTORE") == "1" and fds:
            known = [os.fstat(fd).st_ino for fd in self.store]
            if os.fstat(fds[0]).st_ino in known:
                return -1
            if len(self.store) >= self.settings.store:
                say("the store is full:", self.settings.store)
                return -1
            self.store[fds[0]] = name
            return fds[0]
        return -1


def _listener(where: str) -> socket.socket:
    if where.startswith("/"):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(where)
    elif where.startswith("["):
        listener = socket.create_server(
            ("::", int(where.rpartition(":")[2])), family=socket.AF_INET6, dualstack_ipv6=True
        )
    else:
        host, _, port = where.rpartition(":")
        listener = socket.create_server((host, int(port)))
    listener.listen(1024)
    return listener


def command(unit: Unit, words: list[str]) -> bool:
    """What stdin says; False for quit."""
    match words:
        case ["quit"] | []:
            return False
        case ["start" | "stop" | "reload" as verb]:
            getattr(unit, verb)()
        case ["kill", number]:
            unit.kill([unit.main], int(number))
        case ["deaf" | "hear" as verb]:
            unit.deaf = verb == "deaf"
            say(verb)
        case ["show"]:
            facts: dict[str, Any] = {"state": unit.state, "result": unit.result, "main": unit.main}
            facts |= {"alien": unit.alien, "status": unit.status, "restarts": unit.restarts}
            facts |= {"store": sorted(unit.store.values()), "starts": len(unit.starts)}
            say("shown", json.dumps({**facts, "family": family(os.getpid())}))
    return True


def main() -> None:
    """Until stdin ends or says quit; what is left of the unit is killed then."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    unit, asked = Unit(Settings(**json.loads(sys.argv[1]))), b""
    goes_on = True
    while goes_on:
        left = min(unit.due.values(), default=math.inf) - time.monotonic()
        wanted = [0, woken] if unit.deaf else [0, woken, unit.inbox.fileno()]
        ready, _, _ = select.select(wanted, [], [], None if math.isinf(left) else max(0, left))
        unit.read()  # before the dead: what they said last counts
        if woken in ready:
            os.read(woken, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            unit.ended(pid, status)
        for what in [what for what, at in unit.due.items() if at <= time.monotonic()]:
            if unit.due.pop(what, None) is not None:
                unit.expire(what)
        if 0 in ready:
            asked += (more := os.read(0, 4096))
            *lines, rest = asked.split(b"\n")
            asked, goes_on = rest, bool(more) and all(command(unit, line.decode().split()) for line in lines)
    unit.kill(family(os.getpid()), signal.SIGKILL)
    unit.folder.cleanup()


if __name__ == "__main__":
    main()
