"""Quiet, resume, cancel, and what is written of them: real gateways, real clients."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from speaking import Program, environment, eventually, gateway, gateway_argv, python, started

from gatewaylock.control.client import talk
from gatewaylock.core.deadline import Deadline
from gatewaylock.core.errors import NotRunningError
from gatewaylock.system.history import History
from gatewaylock.system.rundir import RunDir

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
IN_PROCESS, SPAWN = "restart_mode='in-process'", "restart_mode='spawn'"
PAUSES = "Server.pause = lambda self: say('paused', flush=True); Server.resume = lambda self: say('resumed', flush=True)"
FOREVER = "gateway.life == 1 and gateway.lanes.submit(hold.wait)"


@contextmanager
def lives(run_dir: Path, options: str = "", start: str = "") -> Iterator[Program]:
    """tests/programs/lives.py, and whatever process has succeeded it by the end."""
    with python("lives.py", run_dir, OPTIONS=f"dict({options})", START=start) as said:
        try:
            yield said
        finally:
            asks(run_dir, "stop", force=True)


def asks(run_dir: Path, verb: str, *, wait: bool = True, **fields: Any) -> dict[str, Any]:
    """What the gateway says to it, at last.  {} where nobody is there."""
    try:
        talking = talk(str(run_dir / "lives.sock"), "lives", Deadline.after(30))
    except NotRunningError:
        return {}
    with closing(talking):
        answer = talking.ask(verb, wait=wait, **fields)
        return talking.line() if wait and verb in ("stop", "restart") and answer["ok"] else answer


def says(run_dir: Path, verb: str, **fields: Any) -> str:
    answer = asks(run_dir, verb, **fields)
    assert answer.get("ok") or answer.get("done"), answer
    text: str = answer["text"]
    return text


def command(run_dir: Path, *words: str) -> str:
    done = gateway(*words, "--run-dir", run_dir, "--name", "lives")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def status(run_dir: Path) -> dict[str, Any]:
    facts: dict[str, Any] = asks(run_dir, "status")["status"]
    return facts


def restarted(run_dir: Path, said: Program, reason: str) -> None:
    """A restart that waited for the one task."""
    says(run_dir, "restart", reason=reason, wait=False)
    said.hears("draining 1 active task")
    assert status(run_dir)["under_way"]["reason"] == reason
    said.do("hold.set()")
    said.hears("restart done in")


def history(run_dir: Path) -> list[dict[str, Any]]:
    return History(RunDir(str(run_dir)), "lives").records()


# -- quiet -------------------------------------------------------------------------------------------


def test_quiet_takes_nothing_new_until_somebody_resumes(run_dir: Path) -> None:
    with lives(run_dir, start=f"{PAUSES}; {FOREVER}") as said:
        said.hears("serving")
        assert says(run_dir, "quiet", reason="a test") == "quiet; it resumes by itself in 600 s"
        said.hears("paused")
        facts = status(run_dir)
        assert (facts["phase"], facts["ready"], facts["tasks_active"]) == ("quiet", False, 1)
        assert facts["quiet"]["reason"] == "a test" and 590 < facts["quiet"]["time_left"] <= 600
        said.do(
            "exec('try: gateway.lanes.submit(print)\\nexcept Exception as e: say(type(e).__name__, e, flush=True)')"
        )
        said.hears("GatewayDrainingError Gateway is quiet; new tasks are not accepted")
        assert says(run_dir, "resume") == "serving"
        said.hears("resumed")
        assert status(run_dir)["ready"] is True
        said.do("gateway.lanes.submit(say, 'worked', lane='other', flush=True)")
        said.hears("worked")
        assert says(run_dir, "resume") == "it was not quiet"


def test_a_forgotten_quiet_ends_at_its_limit_and_a_new_one_moves_it(run_dir: Path) -> None:
    with lives(run_dir, start=PAUSES) as said:
        said.hears("serving")
        says(run_dir, "quiet", limit=60)
        says(run_dir, "quiet", limit=0.2)
        said.hears("resumed")
        said.hears("received the time limit of the quiet; serving again")
        assert eventually(lambda: status(run_dir)["phase"] == "serving")


def test_a_pause_that_hangs_holds_up_nothing_and_undoes_no_resume(run_dir: Path) -> None:
    hangs = "Server.pause = lambda self: (say('asked', flush=True), back.wait(), say('back', flush=True))"
    with lives(run_dir, start=f"back = threading.Event(); {PAUSES}; {hangs}") as said:
        said.hears("serving")
        assert says(run_dir, "quiet").endswith("; the server's pause() has not come back yet")
        said.hears("asked")
        assert says(run_dir, "resume") == "serving; the server's resume() has not come back yet"
        said.do("back.set()")
        said.hears("^back")
        said.hears("^resumed")
        assert says(run_dir, "quiet") == "quiet; it resumes by itself in 600 s"


def test_a_server_without_pause_is_told_of(run_dir: Path) -> None:
    with lives(run_dir) as said:
        said.hears("serving")
        assert "no pause()" in says(run_dir, "quiet")


@pytest.mark.parametrize("options", [IN_PROCESS, "", SPAWN])
def test_a_restart_ends_the_quiet(run_dir: Path, options: str) -> None:
    with lives(run_dir, options, start=PAUSES) as said:
        said.hears("serving")
        says(run_dir, "quiet", limit=60)
        assert "life 2 serves" in says(run_dir, "restart")
        assert status(run_dir)["ready"] is True


def test_a_stop_ends_it_too(run_dir: Path) -> None:
    with lives(run_dir, "limits=Limits(lame_duck=30)", start=PAUSES) as said:
        said.hears("serving")
        says(run_dir, "quiet")
        assert says(run_dir, "stop") == "stopped"  # and no lame duck: readiness has been false already
        assert said.ends() == 0


def test_an_overlap_that_fails_leaves_it_quiet_until_its_limit(run_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    start = f"{PAUSES}; os.path.exists({str(broken)!r}) and 1 / 0"
    with lives(run_dir, "restart_mode='overlap'", start=start) as said:
        said.hears("serving")
        broken.touch()
        says(run_dir, "quiet", limit=2)
        assert "division by zero" in asks(run_dir, "restart")["text"]
        assert status(run_dir)["phase"] == "quiet" or "serving again" in said.text()
        said.hears("received the time limit of the quiet; serving again")
        said.do("gateway.lanes.submit(say, 'worked', flush=True)")
        said.hears("worked")


@pytest.mark.parametrize("verb", ["quiet", "resume"])
def test_what_is_on_its_way_down_is_not_made_quiet(run_dir: Path, verb: str) -> None:
    with lives(run_dir, start=FOREVER) as said:
        said.hears("serving")
        assert says(run_dir, "restart", wait=False) == "restarting"
        said.hears("draining 1 active task")
        answer = asks(run_dir, verb)
        assert (answer["ok"], answer["error"]) == (False, "phase")
        assert answer["text"] == "the gateway is draining: only one that serves can be quiet"


def test_connections_wait_through_the_quiet_and_a_stop_answers_them(run_dir: Path) -> None:
    argv = gateway_argv("run", "--run-dir", run_dir, "--name", "lives", "--bind", "127.0.0.1:0")
    with started(*argv) as said:
        port = int(said.hears(r"address=127.0.0.1:(\d+)")[1])
        says(run_dir, "quiet")
        with socket.create_connection(("127.0.0.1", port), 20) as waiting:
            waiting.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            waiting.settimeout(0.2)
            with pytest.raises(TimeoutError):
                waiting.recv(1)
            assert says(run_dir, "stop") == "stopped"
            waiting.settimeout(20)
            assert waiting.recv(4096).startswith(b"HTTP/1.1 503")


# -- cancel ------------------------------------------------------------------------------------------


def test_one_item_is_cancelled_by_the_id_that_status_shows_also_while_it_drains(run_dir: Path) -> None:
    start = f"{FOREVER}; gateway.lanes.submit(print); gateway.runs.register('job', abort=lambda: say('aborted', flush=True))"
    with lives(run_dir, start=start) as said:
        said.hears("serving")
        ids = {item["name"]: item["id"] for item in status(run_dir)["items"]}
        says(run_dir, "restart", wait=False)
        said.hears("draining 2 active task")
        assert says(run_dir, "cancel", item=ids['task "main" print']) == 'task "main" print is cancelled'
        assert says(run_dir, "cancel", item=ids['run "job"']) == 'run "job" was asked to give up'
        said.hears("aborted")
        [running] = [id for name, id in ids.items() if "wait" in name]
        assert asks(run_dir, "cancel", item=running)["error"] == "running"
        assert status(run_dir)["drain"]["tasks"] == 1
        assert asks(run_dir, "cancel", item="9.9")["error"] == "unknown"


def test_aborts_that_hang_in_any_number_do_not_keep_a_stop_waiting(run_dir: Path) -> None:
    start = "[gateway.runs.register(str(n), abort=hold.wait) for n in range(20)]"
    with lives(run_dir, start=start) as said:
        said.hears("serving")
        ids = [item["id"] for item in status(run_dir)["items"]]
        asking = []
        for id in ids[:12]:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(20)
            connection.connect(str(run_dir / "lives.sock"))
            connection.sendall(json.dumps({"v": 1, "verb": "cancel", "item": id}).encode() + b"\n")
            asking.append(connection)
        answers = [json.loads(connection.recv(4096)) for connection in asking]
        for connection in asking:
            connection.close()
        assert sum(answer.get("error") == "busy" for answer in answers) >= 1
        assert sum(answer["ok"] and "takes its time" in answer["text"] for answer in answers) >= 8
        assert says(run_dir, "stop", force=True) == "stopped"


# -- what is told of it ------------------------------------------------------------------------------


def test_everything_asked_is_in_the_log_and_in_the_history_with_who_and_why(run_dir: Path) -> None:
    with lives(run_dir, start=FOREVER) as said:
        said.hears("serving")
        restarted(run_dir, said, "evil\n\x1b[31mreason")
        said.signal(signal.SIGUSR1)
        said.hears(r"^INFO restart refused, asked by SIGUSR1: ignored: not authorized")
        says(run_dir, "quiet", limit=60, reason="a test")
        says(run_dir, "stop")
        said.hears(r"^INFO stop done in ")
        assert said.ends() == 0
    accepted = (
        r"^INFO restart accepted, asked by gateway restart \(pid \d+, uid \d+\) \".*pytest.*\" because of "
    )
    assert re.search(accepted + r"'evil\\n\\x1b\[31mreason': restarting$", said.text(), re.MULTILINE)
    done = r"^INFO restart done in .* s, asked by .*; waited for 1 task\(s\) and 0 run\(s\): life 2 serves"
    assert re.search(done, said.text(), re.MULTILINE)
    assert "\x1b" not in said.text()
    asked = [(r["action"], r["ok"], r["reason"]) for r in history(run_dir) if r["event"] == "asked"]
    assert asked == [
        ("restart", True, "evil\n\x1b[31mreason"), ("restart", False, ""), ("quiet", True, "a test"), ("stop", True, ""),
    ]  # fmt: skip
    peers = [record["peer"] for record in history(run_dir) if record["event"] == "asked"]
    assert peers[1] is None
    assert (peers[0]["pid"], peers[0]["uid"]) == (os.getpid(), os.getuid()) and "pytest" in peers[0][
        "command"
    ]
    ended = [record["account"] for record in history(run_dir) if record["event"] == "outcome"]
    assert [(each["action"], each["ok"], each["tasks"]) for each in ended] == [
        ("restart", True, 1),
        ("stop", True, 0),
    ]
    page = command(run_dir, "history")
    for line in page.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (start|asked|outcome|end) ", line), line
        assert line.isprintable()


def test_the_status_tells_how_the_last_restart_went_over_an_exec(run_dir: Path) -> None:
    with lives(run_dir, start=FOREVER) as said:
        said.hears("serving")
        assert status(run_dir)["last_restart"] is None
        restarted(run_dir, said, "a test")
        last = status(run_dir)["last_restart"]
        assert (last["action"], last["reason"], last["ok"], last["tasks"], last["mode"]) == (
            "restart", "a test", True, 1, "exec",
        )  # fmt: skip
        assert (
            0 < last["took"] < 60 and "life 2 serves" in last["text"] and last["peer"]["uid"] == os.getuid()
        )
        assert "waited for 1 task(s)" in command(run_dir, "status")


def test_a_successor_knows_whom_it_owes_its_life(run_dir: Path) -> None:
    with lives(run_dir, SPAWN) as said:
        said.hears("serving")
        says(run_dir, "restart", reason="a test")
        last = status(run_dir)["last_restart"]
        assert (last["reason"], last["ok"], last["mode"], last["tasks"]) == ("a test", True, "spawn", None)


def test_a_restart_that_a_stop_overtakes_has_an_end_of_its_own(run_dir: Path) -> None:
    with lives(run_dir, start=FOREVER) as said:
        said.hears("serving")
        says(run_dir, "restart", wait=False)
        said.hears("draining 1 active task")
        assert says(run_dir, "stop", force=True) == "stopped"
        said.hears("restart not done in .* overtaken by gateway stop")
    ended = [record["account"] for record in history(run_dir) if record["event"] == "outcome"]
    assert [(each["action"], each["ok"]) for each in ended] == [("restart", False), ("stop", True)]


@pytest.mark.parametrize("options", [IN_PROCESS, "", SPAWN])
def test_a_start_that_fails_at_length_is_told_of_all_the_same(run_dir: Path, options: str) -> None:
    with lives(
        run_dir, options, start="if gateway.life > 1: raise RuntimeError('\U0001f600' * 999_999)"
    ) as said:
        said.hears("serving")
        last = asks(run_dir, "restart")
        assert (last["done"], last["phase"]) == (None, "parked")
        assert "it stays alive: fix the issue" in last["text"]
        facts = status(run_dir)
        assert facts["phase"] == "parked" and facts["reason"].startswith("gateway startup failed: \U0001f600")
        assert "is parked: gateway startup failed" in command(run_dir, "status")


def test_a_reason_of_any_length_reaches_the_next_image_cut(run_dir: Path) -> None:
    with lives(run_dir) as said:
        said.hears("serving")
        said.do("gateway.request_restart('r' * 3_000_000)")
        said.hears(r"restart mode: full process restart \(exec")
        said.hears("start of life 2")
        said.hears("restart done")
        assert status(run_dir)["last_restart"]["reason"] == "r" * 200


def test_json_lines_about_a_request_carry_its_fields(run_dir: Path) -> None:
    argv = gateway_argv("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--log-format", "json")
    with started(*argv, "--name", "lives") as said:
        said.hears('"event": "serving"')
        says(run_dir, "stop", reason="a test")
        assert said.ends() == 0
    records = [json.loads(line) for line in said.lines]
    [serving] = [record for record in records if record.get("event") == "serving"]
    assert (serving["phase"], serving["life"]) == ("serving", 1)
    asked = [record for record in records if record.get("event") == "asked"]
    assert asked and all(record["reason"] == "a test" for record in asked)
    assert all(record["requester"].startswith("gateway stop (pid ") for record in asked)
    [ended] = [record for record in records if record.get("event") == "outcome"]
    assert (ended["phase"], ended["reason"]) == ("exited", "a test")


def test_callbacks_hear_the_last_words_before_an_exec_and_before_the_end(run_dir: Path) -> None:
    start = (
        "gateway.on('phase', lambda e: say(f'phase {e.phase} {e.facts[\"edge\"]}'));"
        "gateway.on('asked', lambda e: say(f'asked {e.facts[\"action\"]}'));"
        "gateway.on('end', lambda e: say(f'end {e.facts[\"code\"]}'))"
    )
    with lives(run_dir, start=start) as said:
        said.hears("phase serving ready")
        says(run_dir, "restart")
        said.hears("asked restart")
        said.hears("phase respawning closed")
        said.hears("start of life 2")
        says(run_dir, "stop")
        said.hears("phase exited stopped")
        said.hears("end 0")
        assert said.ends() == 0


def test_a_callback_that_hangs_delays_neither_a_restart_nor_the_end_by_much(run_dir: Path) -> None:
    with lives(run_dir, start="gateway.on('phase', lambda e: hold.wait())") as said:
        said.hears("serving")
        says(run_dir, "restart")
        said.hears("serving")
        says(run_dir, "stop")
        assert said.ends(20) == 0
        assert "shutdown timed out" not in said.text()


# -- who may -----------------------------------------------------------------------------------------

STRANGER = """
import json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for what in (lambda: os.listdir(sys.argv[1]), lambda: open(sys.argv[1] + "/lives.history").read(),
             lambda: socket.socket(socket.AF_UNIX).connect(sys.argv[1] + "/lives.sock")):
    try:
        what()
    except PermissionError:
        print("refused")
    else:
        print("let in")
for pid in (int(sys.argv[2]),):
    try:
        os.kill(pid, 15)
    except PermissionError:
        print("refused")
"""


@as_root
def test_another_user_cannot_connect_read_or_steer(run_dir: Path) -> None:
    with lives(run_dir) as said:
        said.hears("serving")
        words = [sys.executable, "-c", STRANGER, str(run_dir), str(said.pid)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, env=environment())
        assert done.stdout == "refused\n" * 4, done.stderr
        for verb in ("status", "stop", "quiet", "list"):
            program = (
                "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534);"
                "from gatewaylock.cli import main; sys.exit(main(sys.argv[1:]))"
            )
            where = ["--run-dir", str(run_dir)] + ([] if verb == "list" else ["--name", "lives"])
            done = subprocess.run(
                [sys.executable, "-c", program, verb, *where], capture_output=True, text=True, timeout=30,
                env=environment(),
            )  # fmt: skip
            assert "lives" not in done.stdout and (verb == "list" or done.returncode != 0), (verb, done)
        assert status(run_dir)["phase"] == "serving"
