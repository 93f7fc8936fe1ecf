"""Child processes of the application, over restarts in which the process stays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from speaking import eventually, python
from supervisors.service import children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose child a process is")

STARTS = "import subprocess; child = subprocess.Popen(['sleep', '60']); say('child', child.pid, flush=True)"
TELLS = "child.terminate()"  # and does not wait: that is what close() often does


def test_a_child_that_nobody_waited_for_before_an_exec_is_no_zombie_after_it(run_dir: Path) -> None:
    options = "dict(allow_sigusr1=True)"
    with python("lives.py", run_dir, START=STARTS, CLOSE=TELLS, OPTIONS=options) as said:
        said.hears("serving")
        for life in (2, 3, 4):
            said.do("gateway.request_restart()")
            said.hears(f"serving: .* life={life} ")
        # Its own child is there, and those of the lives before are not, not even as zombies.
        newest = int([line for line in said.lines if line.startswith("child ")][-1].split()[1])
        assert eventually(lambda: children(said.pid) == [newest], 10)


def test_nor_is_one_that_began_on_the_way_down(run_dir: Path) -> None:
    begins = "import subprocess; subprocess.Popen(['true'])"
    with python("lives.py", run_dir, CLOSE=begins, OPTIONS="dict(allow_sigusr1=True)") as said:
        for life in (1, 2):
            said.hears(f"serving: .* life={life} ")
            said.do("gateway.request_restart()")
        said.hears("serving: .* life=3 ")
        assert eventually(lambda: children(said.pid) == [], 10)


def test_a_child_of_this_image_keeps_its_exit_code(run_dir: Path) -> None:
    with python("lives.py", run_dir, START=STARTS, OPTIONS="dict(allow_sigusr1=True)") as said:
        said.hears("serving")
        first = children(said.pid)
        said.do("gateway.request_restart()")
        said.hears("serving: .* life=2 ")
        said.do("subprocess.run(['kill', *map(str, " + repr(first) + ")]); child.terminate()")
        assert eventually(lambda: not set(first) & set(children(said.pid)), 10)
        said.do("say('code', child.wait(), flush=True)")
        said.hears("code -15")
