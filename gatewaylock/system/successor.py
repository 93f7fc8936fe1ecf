"""A fresh pid: the process that takes over, as the one that leaves sees it, and the other way round.

    old process        helper            successor
    start() ---------> fork, wait ------> execv of the exact command line
                       gone  <----------- (now a child of init, not of a process that is about to leave)
    hear()  <---------------------------- warm          the target is loaded
    say("go", counts) ------------------> start()
    hear()  <---------------------------- ready | failed{error}
    leaves              (or says end: it stops, or takes the gateway back)

One JSON object a line over a socketpair.  The end of either side is the end of the connection, which the
other sees at once.  An old process that dies while the successor is warm has left it lock and listeners.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.deadline import Deadline
from .host import Host, close_after_fork
from .image import HANDOFF, PID_TO_COME, CommandLine, Handoff
from .rundir import close

if TYPE_CHECKING:
    import subprocess

log = logging.getLogger("gatewaylock.successor")

VERSION = 1
LINE = 65536  # bytes
#: one of the two sides has closed it
HUNG_UP = (errno.EPIPE, errno.ECONNRESET, errno.EBADF)

#: Single-threaded, so that its fork is safe, and gone afterwards.  It stays until the old process holds a
#: pidfd of the child: only then is the number sure to be that of the child.  Not for ever: the old process
#: may be killed, and a child that it has forked meanwhile hold the other end of the input.  The alarm survives the
#: exec: a version that hangs as it loads would keep the name although we were killed meanwhile.
HELPER = f"""
import os, select, signal, sys
os.set_blocking(0, True)
child = os.fork()
if not child:
    try:
        os.setsid()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.alarm(int(sys.argv[2]))
        for name, value in list(os.environ.items()):
            if {PID_TO_COME!r} in value:
                os.environ[name] = value.replace({PID_TO_COME!r}, str(os.getpid()))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(int(sys.argv[1]), 1)
        os.closerange(int(sys.argv[1]), int(sys.argv[1]) + 1)
        os.execv(sys.argv[3], sys.argv[3:])
    except OSError as error:
        os.write(2, f"cannot start {{sys.argv[3]}}: {{error}}\\n".encode())
    finally:
        os._exit(127)
os.write(1, b"%d\\n" % child)
select.select([0], [], [], 10)
"""


class Word(NamedTuple):
    """What the other side says (see above); ``gone`` and ``late`` when it says nothing.

    ``error`` is what it says beside: why it failed, why once ``again``, what its annex leaves with ``go``.
    """

    say: str
    error: str = ""


class Channel:
    """One end of the socketpair.

    A copy in a forked child of either side would hide the end of that side for as long as the child lives.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._said = bytearray()
        close_after_fork(self.close)

    @classmethod
    def inherited(cls, fd: int) -> Channel:
        """The end that the process before us left us."""
        end = socket.socket(fileno=fd)
        end.set_inheritable(False)
        return cls(end)

    @property
    def fd(self) -> int:
        """Its descriptor."""
        return self._end.fileno()

    def say(self, word: str, error: str = "") -> bool:
        """One line; False when nobody hears it any more."""
        try:
            self._end.sendall(
                json.dumps({"v": VERSION, "say": word, "error": error[-LINE // 2 :]}).encode() + b"\n"
            )
        except OSError as error:
            if error.errno not in HUNG_UP:
                log.warning("the other side of the hand-over cannot be told %r: %s", word, error)
            return False
        return True

    def hear(self, deadline: Deadline) -> Word:
        """The next word; ``gone`` at the end of the other side, ``late`` at *deadline*."""
        while b"\n" not in self._said:
            timeout = deadline.timeout()
            try:  # closed by another thread: that is the end too
                self._end.settimeout(
                    None if timeout is None else max(0.001, timeout)
                )  # 0 would not wait at all
                chunk = self._end.recv(LINE)
            except TimeoutError:
                return Word("late")
            except OSError:
                chunk = b""
            if not chunk or len(self._said) > 4 * LINE:
                return Word("gone")
            self._said += chunk
        line, _, rest = bytes(self._said).partition(b"\n")
        self._said = bytearray(rest)
        return _word(line)

    def close(self) -> None:
        """Hang up."""
        self._end.close()


def _word(line: bytes) -> Word:
    try:
        fields: dict[str, Any] = json.loads(line)
        if fields["v"] != VERSION:
            return Word("failed", f"it speaks version {fields['v']!r} of the hand-over, we speak {VERSION}")
        return Word(str(fields["say"]), str(fields.get("error", "")))
    except (ValueError, TypeError, KeyError):
        return Word("failed", f"it says {line[:60]!r}")


def _said_by(helper: subprocess.Popen[bytes], deadline: Deadline) -> int:
    """The pid that *helper* tells.  OSError when there is none, or none in time."""
    import select

    assert helper.stdout is not None
    poller = select.poll()
    poller.register(helper.stdout, select.POLLIN)
    timeout = deadline.timeout()
    if not poller.poll(None if timeout is None else timeout * 1000):
        raise OSError("the helper that starts the successor said nothing in time")
    said = helper.stdout.readline()
    if not said:
        raise OSError("the helper that starts the successor ended without a word")
    return int(said)


def _dismiss(helper: subprocess.Popen[bytes]) -> None:
    """It has done its part.  Killed, and not told by the end of its input: a child forked meanwhile may hold that."""
    assert helper.stdout is not None and helper.stdin is not None
    try:
        helper.kill()
        helper.wait()
    finally:
        helper.stdin.close()
        helper.stdout.close()


class Successor:
    """The new process, in the hands of the old one."""

    def __init__(self, host: Host, line: CommandLine) -> None:
        self._host, self._line = host, line
        self._pidfd = -1
        self._lock = threading.Lock()  # a stop may end it while another thread still starts it
        self._ending = threading.Lock()  # or sees it end: the second to come must find nothing left to close
        self._ended = False
        self.pid = 0
        self._ours: Channel | None = None

    def start(self, handoff: Callable[[int], Handoff], deadline: Deadline) -> None:
        """Start it until *deadline*; *handoff* makes what it inherits, given the descriptor of its end.  OSError."""
        self._ours, theirs = (Channel(end) for end in socket.socketpair())
        try:
            log_to = os.dup(1)
            try:
                helper = self._helper(replace(handoff(theirs.fd), pid=0), log_to, deadline)
            finally:
                close(log_to)
        finally:
            theirs.close()
        try:
            self.pid = _said_by(helper, deadline)
            with self._lock:
                self._pidfd = os.pidfd_open(self.pid)
                ended = self._ended
        finally:
            _dismiss(helper)
        if ended:
            self.end()
            raise OSError("it was called off")

    def _helper(self, left: Handoff, log_to: int, deadline: Deadline) -> subprocess.Popen[bytes]:
        from subprocess import PIPE

        from .notify import for_successor

        seconds = math.ceil(deadline.left()) + 1  # its run() calls the alarm off
        words = [self._line.argv[0], "-I", "-S", "-c", HELPER, str(log_to), str(seconds), *self._line.argv]
        environ = for_successor(self._line.environ, self._host.pid(), PID_TO_COME)
        return self._host.popen(
            words,
            cwd=self._line.cwd if os.path.isdir(self._line.cwd) else None,
            env={**environ, HANDOFF: left.encode()},
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(*left.descriptors(), log_to),
        )

    def say(self, word: str, text: str = "") -> bool:
        """One word to it."""
        return self._ours is not None and self._ours.say(word, text)

    def hear(self, deadline: Deadline) -> Word:
        """One word of it."""
        return Word("gone") if self._ours is None else self._ours.hear(deadline)

    def signal(self, number: int) -> bool:
        """Send it a signal; never to another process that has its pid now.  False when it is gone."""
        if self._pidfd < 0:
            return False
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        except OSError as error:
            log.warning("the successor (pid %d) cannot be sent signal %d: %s", self.pid, number, error)
            return False
        return True

    def gone(self, deadline: Deadline) -> bool:
        """Wait for its end; whether it came."""
        import select

        if self._pidfd < 0:
            return True
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        timeout = deadline.timeout()
        return bool(poller.poll(None if timeout is None else timeout * 1000))

    def end(self) -> None:
        """Kill it, whatever it does, and see that it is gone: its copy of the lock goes with it.

        It is told first: by itself the end of the channel would mean that it is the gateway now.
        """
        with self._lock:
            self._ended = True
        with self._ending:
            self.say("end")
            if self.signal(signal.SIGKILL):
                self.gone(Deadline.after(5))
            self.close()

    def close(self) -> None:
        """Let it go: it is on its own."""
        if self._ours is not None:
            self._ours.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
