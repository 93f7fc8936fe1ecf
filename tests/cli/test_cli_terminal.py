"""What is drawn, cut, coloured and counted."""

from __future__ import annotations

import io
from typing import Any

import pytest

from gatewaylock.cli import show, terminal
from gatewaylock.cli.terminal import Block, Paint, is_terminal
from gatewaylock.cli.words import clock, columns, count, cut, printable, span

XTERM = {"TERM": "xterm"}


class Screen(io.StringIO):
    """A terminal of 80 columns and 24 rows that nobody looks at."""

    def isatty(self) -> bool:
        return True


class Gone(Screen):
    """One that was closed."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_block_is_drawn_over_itself_and_only_where_it_changes() -> None:
    screen = Screen()
    block = Block(screen, XTERM)
    for lines in (["a", "b"], ["a", "b"], ["c"]):
        block.show(lines, None, "")
    assert screen.getvalue() == "a\nb" + "\r\x1b[K\x1b[A\x1b[K" + "c"
    block.clear()
    block.clear()
    assert screen.getvalue().endswith("c\r\x1b[K")


def test_a_block_is_cut_to_the_screen_and_left_there_at_the_end() -> None:
    screen = Screen()
    block = Block(screen, XTERM)
    block.show(["x" * 200] * 100, None, "")
    lines = screen.getvalue().split("\n")
    assert len(lines) == 23 and {len(line) for line in lines} == {79}
    block.leave()
    block.leave()
    assert screen.getvalue().endswith("...\n")


def test_rows_that_a_narrower_screen_has_made_of_a_line_are_erased_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    block = Block(screen, XTERM)
    block.show(["x" * 70], None, "")
    monkeypatch.setattr(Block, "_size", lambda self: (30, 24))
    block.show(["y" * 70], None, "")
    assert screen.getvalue() == "x" * 70 + "\r\x1b[K" + "\x1b[A\x1b[K" * 2 + "y" * 26 + "..."


def test_in_a_pipe_it_is_one_line_for_a_change_and_not_too_many() -> None:
    pipe = io.StringIO()
    block = Block(pipe, XTERM, every=0.0)
    for key in (1, 1, 2, 2, 1):
        block.show(["drawn"], key, f"said {key}")
    assert pipe.getvalue() == "said 1\nsaid 2\nsaid 1\n"
    slow = io.StringIO()
    block = Block(slow, XTERM)
    for key in range(100):
        block.show(["drawn"], key, f"said {key}")
    assert slow.getvalue() == "said 0\n"
    block.clear()
    block.leave()
    assert slow.getvalue() == "said 0\n"


def test_a_screen_that_is_gone_is_no_error() -> None:
    block = Block(Gone(), XTERM)
    block.show(["a"], None, "")
    block.show(["b"], None, "")
    Block(None, XTERM).show(["a"], None, "a")


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"TERM": ""}, {}])
def test_what_cannot_draw_is_no_terminal(environ: dict[str, str]) -> None:
    assert not is_terminal(Screen(), environ) and not is_terminal(None, XTERM)
    assert not is_terminal(io.StringIO(), XTERM) and is_terminal(Screen(), XTERM)
    closed = io.StringIO()
    closed.close()
    assert not is_terminal(closed, XTERM)


def test_colours_are_off_where_they_are_not_wanted() -> None:
    assert Paint(Screen(), XTERM)("a", "good") == "\x1b[32ma\x1b[0m"
    assert Paint(Screen(), {**XTERM, "NO_COLOR": "1"})("a", "good") == "a"
    assert Paint(Screen(), {**XTERM, "NO_COLOR": ""})("a", "good") != "a"  # as no-color.org says
    assert Paint(io.StringIO(), XTERM)("a", "good") == "a"
    assert set(terminal.COLOURS) >= set(show.COLOUR.values())


def test_wide_and_combining_characters_are_counted_as_they_are_drawn() -> None:
    assert (columns("ab"), columns("漢字"), columns("e\u0301")) == (2, 4, 1)
    assert cut("漢字漢字漢字", 8) == "漢字..." and columns(cut("漢字漢字漢字", 9)) <= 9
    assert cut("abc", 3) == "abc" and cut("abcd", 3) == "..." and cut("abcd", 1) == "." and cut("a", 0) == ""


def test_times_and_counts_read_well() -> None:
    assert [clock(s) for s in (-1, 0.04, 9.94, 10, 119.9, 120, 3599)] == [
        "0.0 s", "0.0 s", "9.9 s", "10 s", "119 s", "2:00 min", "59:59 min",
    ]  # fmt: skip
    assert [span(s) for s in (1.25, 60, 7200, 86400 * 3)] == ["1.2 s", "1 min", "2 h", "3 d"]
    assert (count(1, "run"), count(0, "run")) == ("1 run", "0 runs")
    assert printable("a\x1b\n\u202e") == "a\\x1b\n\\u202e"


OLD: dict[str, Any] = {  # what a gateway of the first version says
    "name": "n", "pid": 1, "phase": "serving", "life": 1, "uptime": 5.0, "life_uptime": 4.0, "addresses": [],
    "tasks_active": 1, "tasks_queued": 2, "lanes": {"a": 2, "b": 1}, "runs": [], "restart_mode": "exec",
    "reason": "", "time_left": None, "proving": False, "ready": True,
}  # fmt: skip
ITEM = {"id": "1.1", "kind": "task", "name": "task", "lane": "a", "state": "running", "age": 3.0}


def test_a_gateway_of_another_version_is_shown_as_well_as_it_can_be() -> None:
    page = show.page(OLD, Paint(None, {}))
    assert page[0] == 'gateway "n" is serving' and any(
        "1 running, 2 waiting, 0 runs" in line for line in page
    )
    assert show.row(OLD)[:4] == ["n", "serving", "1", "1"]
    assert show.progress(OLD) == "serving" and show.progress_key(OLD) == show.progress_key(dict(OLD))
    assert show.older(OLD, 1.0)["uptime"] == 6.0


def test_the_clocks_go_on_while_nothing_is_heard() -> None:
    drain = {"tasks": 1, "runs": 2, "oldest": ITEM, "time_left": 10.0}
    facts = {**OLD, "phase": "draining", "time_left": 15.0, "drain": drain, "items": [ITEM]}
    assert show.progress(facts) == (
        "draining: 1 task and 2 runs left, 15 s to the deadline; oldest: task, running for 3.0 s (1.1)"
    )
    later = show.older(facts, 20.0)
    assert show.progress(later) == (
        "draining: 1 task and 2 runs left, 0.0 s to the deadline; oldest: task, running for 23 s (1.1)"
    )
    assert facts["drain"] is drain and drain["oldest"] is ITEM and ITEM["age"] == 3.0


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"proving": True}, "checking the next version; the old one serves"),
        ({"phase": "respawning", "time_left": 3.0}, "the next life starts, 3.0 s to the deadline"),
        ({"phase": "starting"}, "the next life starts"),
        ({"phase": "lame duck", "time_left": 30.0}, "lame duck, 30 s to the deadline"),
        ({"phase": "\x1b[2J"}, r"\x1b[2J"),
    ],
)
def test_the_line_says_what_is_under_way(facts: dict[str, Any], says: str) -> None:
    assert show.progress({**OLD, **facts}) == says
