"""A gateway that is pid 1 of a container: the container lives as long as it does, and its orphans end with it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from speaking import PROGRAMS, Program, eventually, started
from supervisors.containers import UNSHARE, why_no_container
from supervisors.service import children

pytestmark = pytest.mark.skipif(bool(why_no_container()), reason=why_no_container())

#: by a child that has gone before it: what is left ends with 3
ORPHAN = "subprocess.run(['sh', '-c', '(exit 3) &']);"
OWN = """
import subprocess
if gateway.life == 1:
    popen, forked = subprocess.Popen(['sh', '-c', 'exit 7']), os.fork() or os._exit(9)
"""
#: whoever has an exit code of its own to lose: on the main thread, and on four that come and go
STORM = """
import subprocess
def codes(count):
    for number in range(count):
        code = number % 200 + 1
        asked = f'(exit 3) & exit {code}'
        assert subprocess.run(['sh', '-c', asked]).returncode == code
        forked = os.fork() or os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == code
        assert os.waitstatus_to_exitcode(os.system(f'(exit 3) & exit {code}')) == code
        right.append(code)
right = []
threads = [threading.Thread(target=codes, args=(20,)) for _ in range(4)]
for thread in threads: thread.start()
codes(20)
for thread in threads: thread.join()
say('right', len(right), flush=True)
"""


class PidOne:
    """The program as seen from outside, and from its own namespace."""

    def __init__(self, said: Program) -> None:
        self.said = said
        #: of the gateway, outside
        self.pid = children(said.pid)[0]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def zombies(self) -> int:
        """Its children that nobody has waited for."""
        states = []
        for pid in children(self.pid):
            with suppress(OSError):
                states.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
        return states.count("Z")


@contextmanager
def pid_one(run_dir: Path, **env: str) -> Iterator[PidOne]:
    """tests/programs/lives.py as pid 1, serving."""
    with started(*UNSHARE, sys.executable, PROGRAMS / "lives.py", run_dir, **env) as said:
        said.hears("serving: .* pid=1 ")
        yield PidOne(said)


def test_orphans_are_reaped_and_the_applications_own_children_are_not(run_dir: Path) -> None:
    """Its own have been zombies for longer than an orphan that is gone, and keep their exit codes."""
    with pid_one(run_dir, START=OWN) as one:
        assert eventually(lambda: one.zombies() >= 2)
        one.said.do(f"import subprocess; {ORPHAN * 5} say('left alone', flush=True)")
        one.said.hears("left alone")
        assert eventually(lambda: len(children(one.pid)) == 2, 10)
        assert one.zombies() == 2
        one.said.do("say('codes', popen.wait(), os.waitpid(forked, 0)[1] >> 8, flush=True)")
        one.said.hears("codes 7 9")
        one.signal(signal.SIGTERM)
        assert one.said.ends() == 0


def test_exit_codes_reach_the_application_in_a_storm_of_orphans(run_dir: Path) -> None:
    with pid_one(run_dir, START=STORM) as one:
        assert "right 100" in one.said.text()
        assert eventually(lambda: children(one.pid) == [], 10)


def test_children_of_the_image_before_are_reaped_after_an_exec(run_dir: Path) -> None:
    with pid_one(run_dir, START=OWN, OPTIONS="dict(allow_sigusr1=True)") as one:
        one.said.do("left = subprocess.Popen(['sleep', '60']); say('left', left.pid, flush=True)")
        one.said.hears("left")
        one.signal(signal.SIGUSR1)
        one.said.hears("serving: .* pid=1 life=2 ")
        one.said.do(
            f"import subprocess; subprocess.run(['kill', '{left_pid(one)}']); say('killed', flush=True)"
        )
        one.said.hears("killed")
        assert eventually(lambda: children(one.pid) == [], 10)


def left_pid(one: PidOne) -> int:
    return int(next(line for line in one.said.lines if line.startswith("left ")).split()[1])


def test_a_program_that_handles_sigchld_itself_is_left_alone(run_dir: Path) -> None:
    handler = "signal.signal(signal.SIGCHLD, lambda *_: say('its own', flush=True))"
    options = f"[__import__('signal'), globals().update(signal=__import__('signal')), {handler}] and {{}}"
    with pid_one(run_dir, OPTIONS=options) as one:
        one.said.do("import subprocess; subprocess.run('true'); say('ran', flush=True)")
        one.said.hears("its own")
        one.signal(signal.SIGTERM)
        assert one.said.ends() == 0


@pytest.mark.parametrize("mode", ["spawn", "overlap"])
def test_a_fresh_pid_is_refused_with_the_reason_and_the_container_lives_on(run_dir: Path, mode: str) -> None:
    with pid_one(run_dir, OPTIONS=f"dict(restart_mode='{mode}', allow_sigusr1=True)") as one:
        assert any(f"no {mode} restarts here (pid 1" in line for line in one.said.lines)
        one.signal(signal.SIGUSR1)
        one.said.hears("exec, pid 1 stays")
        one.said.hears("serving: .* pid=1 life=2 ")
        one.signal(signal.SIGTERM)
        assert one.said.ends() == 0


def test_a_next_image_that_hangs_before_it_is_a_gateway_ends_in_time(run_dir: Path) -> None:
    """The alarm that ends it elsewhere is a signal, and pid 1 does not obey signals without a handler."""
    hangs = "'GATEWAYLOCK_HANDOFF' in os.environ and threading.Event().wait()"
    options = f"{hangs} or dict(allow_sigusr1=True, limits=Limits(start=1))"
    with pid_one(run_dir, OPTIONS=options) as one:
        one.signal(signal.SIGUSR1)
        assert one.said.ends() == 1
        assert "Timeout" in one.said.text()
