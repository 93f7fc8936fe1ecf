"""The command as people see it: on real terminals, and where there is none."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from screens import terminal, tmux
from speaking import Program, environment, eventually, gateway, gateway_argv, python

FOREVER = "gateway.life == 1 and gateway.lanes.submit(hold.wait, lane='chat')"
OLDEST = r'task "chat" Event.wait, running for [\d.]+ s \(1\.1\)'
LEFT = r"draining: 1 task left, [\d.]+ s to the deadline; oldest: "
ABOVE = r"restarting|\d+"
has_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


@contextmanager
def lives(run_dir: Path, start: str = FOREVER) -> Iterator[Program]:
    with python("lives.py", run_dir, START=start) as said:
        said.hears("serving")
        yield said


def argv(run_dir: Path, *words: str) -> list[str]:
    return gateway_argv(*words, "--run-dir", run_dir, "--name", "lives")


def plain(text: str) -> str:
    """Without the sequences that we draw with."""
    return re.sub(r"\x1b\[(A|K|\d*m)", "", text)


def test_restart_shows_on_a_terminal_what_it_waits_for_and_ctrl_c_leaves_it_going(run_dir: Path) -> None:
    with lives(run_dir) as said, terminal(*argv(run_dir, "restart"), columns=120) as screen:
        assert "restarting\r\n" in screen.shows(LEFT + OLDEST)
        screen.shows(r"\r\x1b\[K" + LEFT + OLDEST)  # drawn again, in its place
        screen.types("\x03")
        code, rest = screen.ends()
        assert code == 130
        assert "no longer waiting; the restart goes on: see gateway status\r\n" in rest
        assert "\x1b" not in plain(rest)
        assert "draining" in gateway("status", "--run-dir", run_dir, "--name", "lives").stdout
        said.do("hold.set()")
        said.hears("start of life 2")


@has_tmux
def test_the_line_is_drawn_in_its_place_at_every_width(run_dir: Path) -> None:
    command = " ".join(
        [
            f"seq 30; PYTHONPATH={shlex.quote(environment()['PYTHONPATH'])}",
            *map(shlex.quote, argv(run_dir, "restart")),
        ]
    )
    with lives(run_dir) as said, tmux(command, columns=120) as screen:
        assert screen.shows(LEFT + OLDEST, above=ABOVE), screen.screen()
        for columns in (60, 30, 17):
            screen.resize(columns)
            narrow = rf"draining: 1 t.{{{columns - 1 - 13 - 3}}}\.\.\."
            assert screen.shows(narrow, above=ABOVE), screen.screen()
        screen.resize(120)
        assert screen.shows(LEFT + OLDEST, above=ABOVE), screen.screen()
        said.do("hold.set()")
        last = r"life 2 serves \(pid \d+\) after [\d.]+ s"
        assert screen.shows(last, "over", above=ABOVE), screen.screen()


def test_in_a_file_it_is_a_line_for_each_change_and_nothing_a_terminal_obeys(
    run_dir: Path, tmp_path: Path
) -> None:
    with (
        lives(run_dir) as said,
        open(tmp_path / "out", "w") as file,
        subprocess.Popen(argv(run_dir, "restart"), stdout=file, stderr=file, env=environment()) as asking,
    ):
        assert eventually(lambda: "to the deadline" in (tmp_path / "out").read_text())
        said.do("hold.set()")
        assert asking.wait(30) == 0
    first, *changes, last = (tmp_path / "out").read_text().splitlines()
    changes = [change for change in changes if not change.startswith("checking")]  # on a loaded machine
    assert first == "restarting" and last.startswith("life 2 serves")
    assert 1 <= len(changes) <= 2 and re.fullmatch(LEFT + OLDEST, changes[0])
    assert (tmp_path / "out").read_text().replace("\n", "").isprintable()


def test_interrupted_in_a_pipe_it_says_that_the_stop_goes_on(run_dir: Path) -> None:
    with lives(run_dir) as said:
        asking = subprocess.Popen(
            argv(run_dir, "stop"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert asking.stderr and asking.stderr.readline() == "stopping\n"
        asking.send_signal(signal.SIGINT)
        out, rest = asking.communicate(timeout=30)
        assert asking.returncode == 130 and out == ""
        assert (
            rest.endswith("no longer waiting; the stop goes on: see gateway status\n")
            and rest.isprintable() < 1
        )
        said.do("hold.set()")
        assert said.ends() == 0


@pytest.mark.parametrize(
    ("env", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"TERM": ""}, False)],
)
def test_colours_are_for_terminals_that_want_them(run_dir: Path, env: dict[str, str], coloured: bool) -> None:
    with lives(run_dir), terminal(*argv(run_dir, "status"), **env) as screen:
        code, text = screen.ends()
    assert code == 0 and 'gateway "lives" is ' in text
    assert ("\x1b[32mserving\x1b[0m" in text) is coloured
    assert ("\x1b" in text) is coloured


def test_status_live_is_drawn_in_place_and_left_there_at_the_end(run_dir: Path) -> None:
    with lives(run_dir) as said, terminal(*argv(run_dir, "status", "--watch")) as screen:
        screen.shows('gateway "lives" is serving')
        said.do("gateway.lanes.submit(hold.wait, lane='new')")
        screen.shows(r"\r\x1b\[K(\x1b\[A\x1b\[K)+" + 'gateway "lives" is serving')
        screen.shows('task "new" Event.wait, running for')
        screen.types("\x03")
        code, rest = screen.ends()
        assert code == 0 and rest.endswith("\r\n")


def test_status_live_goes_on_over_a_restart_and_ends_with_the_gateway(run_dir: Path) -> None:
    with lives(run_dir, "") as said:
        asking = subprocess.Popen(
            argv(run_dir, "status", "--watch", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(),
        )  # fmt: skip
        assert asking.stdout and json.loads(asking.stdout.readline())["status"]["life"] == 1
        assert gateway("restart", "--run-dir", run_dir, "--name", "lives").returncode == 0
        said.hears("life=2")
        events = map(json.loads, asking.stdout)
        assert next(each for each in events if each.get("status", {}).get("life") == 2)["event"] == "status"
        assert gateway("stop", "--run-dir", run_dir, "--name", "lives").returncode == 0
        out, why = asking.communicate(timeout=30)
        ends = [json.loads(line) for line in out.splitlines()]
        assert [each["code"] for each in ends if each["event"] == "end"] == [0]
        assert asking.returncode == 3 and "the last one: stopped by gateway stop" in why


def test_status_live_in_a_pipe_is_a_line_for_each_change(run_dir: Path) -> None:
    with lives(run_dir, ""):
        asking = subprocess.Popen(
            argv(run_dir, "status", "--watch"), stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert asking.stdout and asking.stdout.readline() == "serving\n"
        asking.send_signal(signal.SIGINT)
        out, _ = asking.communicate(timeout=30)
        assert (asking.returncode, out) == (0, "")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_status_live_ends_when_nobody_reads_it_any_more(run_dir: Path, words: tuple[str, ...]) -> None:
    """As in ``| head -1``, also while nothing changes and so nothing is written."""
    with lives(run_dir, ""):
        asking = subprocess.Popen(
            argv(run_dir, "status", "--watch", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(),
        )  # fmt: skip
        assert asking.stdout and asking.stdout.readline() and asking.stderr
        asking.stdout.close()
        assert (asking.wait(30), asking.stderr.read()) == (1, "")
        asking.stderr.close()


def test_status_live_on_a_full_disk_says_so_and_ends(run_dir: Path) -> None:
    with lives(run_dir, ""), open("/dev/full", "w") as full:
        asked = subprocess.run(
            argv(run_dir, "status", "--watch"), stdout=full, stderr=subprocess.PIPE, text=True,
            env=environment(), timeout=30,
        )  # fmt: skip
    full_disk = "gateway: error: cannot write to stdout: No space left on device\n"
    assert (asked.returncode, asked.stderr) == (1, full_disk)


def test_status_live_shows_what_the_encoding_of_stdout_does_not_have(run_dir: Path) -> None:
    with lives(run_dir, "gateway.lanes.submit(hold.wait, lane='\u4e2d')"):
        words = shlex.join(argv(run_dir, "status", "--watch"))
        with terminal("env", "PYTHONIOENCODING=ascii", "sh", "-c", f"exec {words}", columns=120) as screen:
            screen.shows(r'task "\\u4e2d"')
            screen.types("\x03")
            assert screen.ends()[0] == 0


def test_nothing_in_a_name_or_a_reason_steers_the_terminal(run_dir: Path) -> None:
    evil = r"'\\x1b]0;pwned\\x07\\x1b[2J\\r\\n<b>'".replace(r"\\", "\\")
    start = f"gateway.lanes.submit(hold.wait, lane={evil}); gateway.runs.register({evil}, abort=print)"
    with (
        lives(run_dir, start),
        terminal(*argv(run_dir, "restart", "--reason", eval(evil)), columns=200) as screen,
    ):
        shown = screen.shows("draining: 1 task and 1 run left.*oldest")
        with terminal(*argv(run_dir, "status"), columns=200) as again:
            _, text = again.ends()
        for line in (plain(shown + screen.text) + plain(text)).split("\n"):
            assert line.replace("\r", "").isprintable(), line
        assert r"because of '\x1b]0;pwned" in text and r"\x1b]0;pwned\x07" in text


def test_list_shows_every_gateway_of_the_directory_and_what_is_wrong_with_it(run_dir: Path) -> None:
    import socket

    assert (
        gateway("list", "--run-dir", run_dir / "none").stdout == f"no gateway is running in {run_dir}/none\n"
    )
    with lives(run_dir), socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(run_dir / "stale.sock"))  # nobody listens there
        (run_dir / "odd name.sock").touch()
        (run_dir / "nosocket.sock").touch()
        head, lives_row, odd = gateway("list", "--run-dir", run_dir).stdout.splitlines()
        assert head.split() == ["NAME", "STATE", "PID", "LIFE", "UP", "FOR", "WORK", "ADDRESS"]
        assert lives_row.split()[:2] == ["lives", "serving"] and "1+0+0" in lives_row
        assert odd.startswith("nosocket  no answer") and "no socket of ours" in odd
        found = json.loads(gateway("list", "--run-dir", run_dir, "--json").stdout)
        assert [(each["name"], each["phase"]) for each in found] == [("lives", "serving"), ("nosocket", None)]
        assert gateway("list", "--run-dir", run_dir, "--names").stdout == "lives\nnosocket\n"
