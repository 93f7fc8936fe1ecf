"""A box: a real systemd as pid 1 of namespaces of its own, up in a fifth of a second.

    with boxed(work) as box:                    # work: a directory that both sides see under the same path
        box.unit("bot.service", text)           # writes the unit and reloads; StandardOutput=append:WORK/log
        box.systemctl("start", "bot")           # raises Refused with what systemctl said, when it fails
        box.show("bot", "MainPID", "NRestarts") # {"MainPID": "12", "NRestarts": "0"}; a pid of the inside
        box.pids("bot")                         # its processes, as pids of the outside
        box.log()                               # what pid 1 said

Needs Linux, root, a cgroup2 mount that we may write, overlayfs, systemd and util-linux: ``why_no_box()``
tells what is missing.  Outside it leaves nothing: the root is an overlay over a tmpfs in a mount
namespace, the cgroup is one of its own and goes with it.  pid, mount, cgroup, ipc and uts namespaces are
its own; the network is the machine's, so that clients and ``Hammer`` reach 127.0.0.1 from outside.

There is no D-Bus and no journal inside: verbs of systemctl that systemd itself serves work, ``--wait`` and
``journalctl`` do not; without StandardOutput= in its unit, what a service prints is lost.
"""

from __future__ import annotations

import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from speaking import ROOT, eventually

SYSTEMD = ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")
TOOLS = ("unshare", "nsenter", "setpriv", "systemctl", "mount", "pivot_root")
BOOT_LIMIT = 20.0
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Refused(AssertionError):
    """A command in the box failed; the text is what it said."""


def _cgroups() -> Path | None:
    """A cgroup2 mount that we may write."""
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            where, kind = line.split()[4], line.partition(" - ")[2].split()[0]
            if kind == "cgroup2" and os.access(where, os.W_OK):
                return Path(where)
    return None


def _systemd() -> str | None:
    return next((path for path in SYSTEMD if os.access(path, os.X_OK)), None)


@cache
def why_no_box() -> str:
    """Why this machine cannot have a box, for ``pytest.skip``; empty where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a box needs Linux and root"
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"a box needs {', '.join(missing)}"
    if not _systemd():
        return "systemd is not installed"
    if not _cgroups():
        return "no cgroup2 mount that we may write"
    with tempfile.TemporaryDirectory(prefix="gw-box-") as work, _cgroup() as cgroup:
        argv = _argv(cgroup, Path(work), "/dev/null", "true")
        tried = subprocess.run(argv, capture_output=True, text=True, timeout=BOOT_LIMIT)
    return "" if tried.returncode == 0 else f"namespaces: {tried.stderr.strip()[-200:]}"


@contextmanager
def _cgroup() -> Iterator[Path]:
    """A cgroup of our own; gone at the end, as soon as its last process is."""
    above = _cgroups()
    assert above is not None
    cgroup = Path(tempfile.mkdtemp(prefix="gatewaylock-box-", dir=above))
    try:
        yield cgroup
    finally:
        assert eventually(lambda: "populated 0" in (cgroup / "cgroup.events").read_text()), cgroup
        for folder, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(folder)


def _argv(cgroup: Path, work: Path, console: str, become: str) -> list[str]:
    """Enter *cgroup*, make the namespaces, become *become* in them; all of it ends with us."""
    (root := work / ".root").mkdir()
    enter = 'echo 0 > "$1/cgroup.procs"; shift; exec "$@"'
    spaces = ("--pid", "--fork", "--kill-child", "--mount", "--cgroup", "--ipc", "--uts")
    ours = (os.path.realpath(path) for path in (ROOT, sys.prefix, sys.base_prefix))
    apart = {path for path in ours if os.stat(path).st_dev != os.stat("/").st_dev}
    return [
        *("sh", "-c", enter, "sh", str(cgroup)),
        *("setpriv", "--pdeathsig", "KILL", "unshare", *spaces, "--propagation", "private"),
        *("sh", str(Path(__file__).with_name("box.sh")), become, str(root), console, str(work)),
        *sorted(apart),
    ]


class Console:
    """The terminal that pid 1 of a box logs to, and what came out of it."""

    def __init__(self) -> None:
        self._read, self._write = pty.openpty()
        tty.setraw(self._write)
        self.name = os.ttyname(self._write)
        self._said = b""
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        with suppress(OSError):  # EIO: nobody has the other end any more
            while more := os.read(self._read, 65536):
                self._said += more

    def text(self) -> str:
        """All of it so far."""
        return self._said.decode(errors="replace").replace("\r", "")

    def close(self) -> None:
        """After the box has ended."""
        os.close(self._write)
        self._reader.join()
        os.close(self._read)


class Box:
    """A booted one; ``boxed`` makes it."""

    def __init__(self, work: Path, cgroup: Path, console: Console, unshare: int) -> None:
        self.work = work
        self._cgroup, self._console = cgroup, console
        children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
        #: of its systemd, as seen from outside
        self.pid = int(children[0])

    def run(self, *argv: str | Path, limit: float = 30.0) -> subprocess.CompletedProcess[str]:
        """*argv* inside, with an empty environment, to its end."""
        enter = ["nsenter", "-t", str(self.pid), "-p", "-m", "-C", "-i", "-u", "-r", "-w", "env", "-i", PATH]
        return subprocess.run(
            [*enter, *(str(word) for word in argv)], capture_output=True, text=True, timeout=limit
        )

    def systemctl(self, *words: str, limit: float = 60.0) -> str:
        """What systemctl said.  Refused, with its words and the last ones of pid 1, when it failed."""
        done = self.run("systemctl", "--no-ask-password", *words, limit=limit)
        if done.returncode != 0:
            said = done.stdout + done.stderr + "\n".join(self.log().splitlines()[-15:])
            raise Refused(f"systemctl {' '.join(words)}: exit code {done.returncode}\n{said}")
        return done.stdout

    def unit(self, name: str, text: str) -> None:
        """Write the unit file *name* ("bot.service", "bot.socket") and have systemd read it."""
        path = Path(f"/proc/{self.pid}/root/etc/systemd/system/{name}")
        path.write_text(text, encoding="utf-8")
        self.systemctl("daemon-reload")

    def show(self, name: str, *keys: str) -> dict[str, str]:
        """Properties of a unit; pids among them are those of the inside."""
        text = self.systemctl("show", name, "--property", ",".join(keys))
        return dict(line.split("=", 1) for line in text.splitlines())

    def pids(self, name: str) -> list[int]:
        """The processes in the cgroup of a unit, as pids of the outside; none when it is stopped."""
        path = self.show(name, "ControlGroup")["ControlGroup"]
        if not path:
            return []
        found = []
        for folder, _, _ in os.walk(self._cgroup / path.lstrip("/")):
            with suppress(OSError):
                found += [int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split()]
        return sorted(found)

    def outside(self, pid: int) -> int:
        """The pid outside of a process that the inside calls *pid*.  ProcessLookupError."""
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and os.readlink(entry / "ns/pid") == self._namespace():
                    status = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
                    if int(status["NSpid"].split()[-1]) == pid:
                        return int(entry.name)
        raise ProcessLookupError(f"no process {pid} in the box")

    def log(self) -> str:
        """What its pid 1 said so far."""
        return self._console.text()

    def _namespace(self) -> str:
        return os.readlink(f"/proc/{self.pid}/ns/pid")


@contextmanager
def boxed(work: Path, *options: str) -> Iterator[Box]:
    """Boot one with *options* of systemd; killed at the end with everything in it.

    *work* is seen inside under the same path.  ``.root`` and ``.notify`` in it are the box's own.
    """
    work, console = work.resolve(), Console()
    words = (str(_systemd()), "--system", "--unit=box.target", "--log-target=console", *options)
    with ExitStack() as stack:
        stack.callback(console.close)
        notify = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notify.bind(ready := str(work / ".notify"))
        stack.callback(os.unlink, ready)
        cgroup = stack.enter_context(_cgroup())
        argv = _argv(cgroup, work, console.name, " ".join(words))
        stack.callback((work / ".root").rmdir)
        quiet, environ = subprocess.DEVNULL, {**os.environ, "NOTIFY_SOCKET": ready}
        popen = subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=quiet, env=environ)
        stack.callback(popen.wait)
        stack.callback(popen.kill)
        _wait_ready(notify, console)
        yield Box(work, cgroup, console, popen.pid)


def _wait_ready(notify: socket.socket, console: Console) -> None:
    """systemd tells whoever booted it when it is up, as a service tells systemd."""
    notify.settimeout(BOOT_LIMIT)
    said: list[bytes] = []
    while b"READY=1" not in said:
        try:
            said = notify.recv(4096).split(b"\n")
        except TimeoutError:
            raise AssertionError(f"no box after {BOOT_LIMIT:g} s:\n{console.text()}") from None
