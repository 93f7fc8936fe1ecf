"""The admin address beside real gateways: in every phase, over every kind of restart, for real clients."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from http_tools import Beside
from speaking import ROOT, Program, eventually, gateway, gateway_argv, python, started

ADMIN = "__import__('gatewaylock.admin').admin.Admin('127.0.0.1', 0, token='sixteen-or-more!')"
TOKEN = "sixteen-or-more!"
COUNTED = re.compile(r"_(total|bucket|sum|count)\b")
HELD = "gateway.lanes.submit(sleeps, 60, lane='chat-<b>1')"


def port_of(program: Program) -> int:
    return int(program.hears(r"admin page on http://127.0.0.1:(\d+)/")[1])


def ask(port: int, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, str]:
    """Status and body; OSError or HTTPException where there is no whole answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, sent)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def steer(port: int, **fields: str) -> tuple[int, str]:
    body = "&".join(f"{name}={value.replace(' ', '+')}" for name, value in fields.items())
    return ask(port, "/steer", "POST", body, Content_Type="application/x-www-form-urlencoded")


def phase(port: int) -> str:
    return str(json.loads(ask(port, "/status")[1])["phase"])


class Probes(Beside):
    """A load balancer and a container runtime: they ask all the time, each time on a fresh connection."""

    def __init__(self, port: int) -> None:
        self.said: Counter[str] = Counter()
        self._port = port
        super().__init__(*(partial(self._probe, path) for path in ("healthz", "readyz")))

    def _probe(self, path: str) -> None:
        while not self._stop.wait(0.002):
            try:
                status, body = ask(self._port, f"/{path}")
                self.said[f"{path} {status} {body.strip()}"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.said[f"{path} lost: {error!r}"] += 1


@pytest.mark.parametrize("mode", ["exec", "in-process", "spawn", "overlap"])
def test_no_probe_is_lost_over_a_restart_and_ready_is_said_only_by_a_life_that_serves(
    mode: str, run_dir: Path
) -> None:
    options = f"dict(annex={ADMIN}, restart_mode={mode!r}, probation=0.1)"
    pause = "Server.pause = Server.resume = lambda self: None"
    with python("lives.py", run_dir, OPTIONS=options, START=pause) as said:
        port = port_of(said)
        said.hears("serving:")
        with Probes(port) as probes:
            assert eventually(lambda: probes.said["readyz 200 serving"] > 3)
            for life in (2, 3):
                done = gateway("restart", "--name", "lives", "--run-dir", run_dir)
                assert done.returncode == 0, done.stderr
                assert json.loads(ask(port, "/status")[1])["life"] == life
            before = probes.said["readyz 200 serving"]
            assert eventually(lambda: probes.said["readyz 200 serving"] > before + 3)
        told = dict(probes.said)
        assert not [how for how in told if "lost" in how], told
        assert [how for how in told if how.startswith("healthz")] == ["healthz 200 ok"], told
        if mode != "overlap":  # it may be that the old life is never seen leaving
            assert "readyz 200 serving" in told
        samples = ask(port, "/metrics")[1]
        assert f'gatewaylock_restarts_total{{mode="{mode}",outcome="done"}} 2.0' in samples
        gateway("stop", "--name", "lives", "--run-dir", run_dir)


def curl(port: int, path: str) -> tuple[int, str]:
    """What curl sees: the status code and the body."""
    done = subprocess.run(
        ["curl", "-s", "-m", "20", "-w", "%{http_code}", f"http://127.0.0.1:{port}{path}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return int(done.stdout[-3:]), done.stdout[:-3].strip()


def samples(port: int) -> dict[str, float]:
    """Every sample of /metrics, as the official parser reads it."""
    from prometheus_client.parser import text_string_to_metric_families

    status, text = ask(port, "/metrics")
    assert status == 200
    found = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            found[f"{name}{json.dumps(labels) if labels else ''}"] = value
    return found


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_health_and_metrics_are_answered_in_every_phase(run_dir: Path) -> None:
    pytest.importorskip("prometheus_client")
    limits = "Limits(drain=20, backoff=60)"
    options = f"dict(annex={ADMIN}, restart_mode='in-process', limits={limits})"
    start = "exec(globals().get('within', 'go = threading.Event(); go.wait(20)'), globals())"
    close = "exec(globals().get('at_end', ''), globals())"
    seen: set[str] = set()
    with python("lives.py", run_dir, OPTIONS=options, START=start, CLOSE=close) as said:
        port = port_of(said)

        def is_in(expected: str) -> None:
            assert eventually(lambda: curl(port, "/readyz")[1] == expected), curl(port, "/readyz")
            assert curl(port, "/readyz") == (200 if expected == "serving" else 503, expected)
            assert curl(port, "/healthz") == (200, "ok")
            assert curl(port, "/status")[0] == curl(port, "/")[0] == 200
            measured = samples(port)
            now = [name for name, value in measured.items() if name.startswith("gatewaylock_phase") and value]
            assert now == [f'gatewaylock_phase{{"phase": "{expected}"}}']
            assert measured["gatewaylock_ready"] == int(expected == "serving")
            seen.add(expected)

        is_in("starting")
        said.do("go.set(); within = ''")
        is_in("serving")
        assert steer(port, token=TOKEN, do="quiet")[0] == 200
        is_in("quiet")
        assert steer(port, token=TOKEN, do="resume")[0] == 200
        is_in("serving")
        said.do("done = threading.Event(); gateway.lanes.submit(done.wait, 20)")
        said.do("closing = threading.Event(); at_end = 'closing.wait(20)'; within = '1/0'")
        said.do("gateway.request_restart('to see it')")
        is_in("draining")
        said.do("done.set()")
        is_in("closing")
        said.do("closing.set(); at_end = ''")
        is_in("parked")
        for deaths in (1, 2):
            said.do("gateway.request_restart()")
            said.hears("life 3" if deaths == 1 else "life 4")
        said.do("gateway.request_restart()")
        is_in("respawning")  # it waits, for starts die young
        said.signal(signal.SIGTERM)
        assert said.ends() == 0
    assert seen == {"starting", "serving", "quiet", "draining", "closing", "parked", "respawning"}


class Scrapes(Beside):
    """Clients of the application and Prometheus beside each other; what has fallen between two scrapes."""

    def __init__(self, app: int, admin: int) -> None:
        self.answered, self.last, self.fell = 0, dict[str, float](), dict[str, tuple[float, float]]()
        self._app, self._admin = app, admin
        super().__init__(self._ask, self._scrape)

    def _ask(self) -> None:
        while not self._stop.is_set():
            self.answered += ask(self._app, "/")[0] == 200

    def _scrape(self) -> None:
        while not self._stop.is_set():
            found = {name: value for name, value in samples(self._admin).items() if COUNTED.search(name)}
            self.fell.update((k, (self.last[k], v)) for k, v in found.items() if v < self.last.get(k, 0))
            self.last = found


@pytest.mark.parametrize("mode", ["exec", "in-process", "spawn", "overlap"])
def test_no_count_falls_in_a_restart(run_dir: Path, mode: str) -> None:
    """A count that falls is one that began at 0 for Prometheus, and all of it is added once more."""
    where = ("--run-dir", run_dir, "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--probation", "0.1")
    target = "tests.programs.echo_app:app"
    with started(*gateway_argv("run", target, *where, "--restart-mode", mode), cwd=ROOT) as said:
        admin = port_of(said)
        app = int(said.hears(r"address=127.0.0.1:(\d+)")[1])
        with Scrapes(app, admin) as scrapes:
            assert eventually(lambda: scrapes.answered > 10)
            assert gateway("restart", "--run-dir", run_dir).returncode == 0
            before = scrapes.answered
            assert eventually(lambda: scrapes.answered > before + 10)
        found = samples(admin)
        assert gateway("stop", "--run-dir", run_dir).returncode == 0
    assert scrapes.fell == {}
    counted = found['gatewaylock_http_responses_total{"status": "2xx"}']
    assert scrapes.answered - 1 <= counted <= scrapes.answered
    assert found["gatewaylock_drain_seconds_count"] == (mode != "overlap")


def test_a_lame_duck_is_alive_but_not_ready(run_dir: Path) -> None:
    with python("lives.py", run_dir, OPTIONS=f"dict(annex={ADMIN}, limits=Limits(lame_duck=20))") as said:
        port = port_of(said)
        said.hears("serving:")
        said.signal(signal.SIGTERM)
        assert eventually(lambda: ask(port, "/readyz") == (503, "lame duck\n"))
        assert ask(port, "/healthz") == (200, "ok\n")
        said.signal(signal.SIGTERM)
        assert said.ends() == 0


#: a start() that only the first process of all survives
FIRST = """
print(os.getpid(), file=open(sys.argv[1] + "/pids", "a"))
if open(sys.argv[1] + "/pids").readline() != f"{os.getpid()}\\n":
    raise RuntimeError("not me")
"""


@pytest.mark.parametrize(
    "options",
    [
        "restart_mode='spawn'",
        "host=__import__('gatewaylock.system.host').system.host.Host(execve=lambda *args: None)",
    ],
)
def test_after_a_restart_that_failed_the_old_process_answers_again(options: str, run_dir: Path) -> None:
    with python("lives.py", run_dir, OPTIONS=f"dict(annex={ADMIN}, {options})", START=FIRST) as said:
        port = port_of(said)
        said.hears("serving:")
        with Probes(port) as probes:
            gateway("restart", "--name", "lives", "--run-dir", run_dir)
            said.hears("falling back to in-process restart")
            said.hears("serving: .* life=2")
            assert ask(port, "/readyz") == (200, "serving\n")
            assert json.loads(ask(port, "/status")[1])["pid"] == said.pid
        assert not [how for how in probes.said if "lost" in how], probes.said


def test_what_happens_is_streamed_to_the_end(run_dir: Path) -> None:
    with python("lives.py", run_dir, OPTIONS=f"dict(annex={ADMIN}, restart_mode='in-process')") as said:
        port = port_of(said)
        said.hears("serving:")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        assert answer.getheader("Content-Type") == "text/event-stream"
        heard: list[tuple[str, dict[str, object]]] = []

        def until(event: str) -> dict[str, object]:
            name = ""
            for line in answer:
                key, _, value = line.decode().rstrip("\n").partition(": ")
                name = value if key == "event" else name
                if key == "data":
                    heard.append((name, json.loads(value)))
                    if name == event:
                        return heard[-1][1]
            raise AssertionError(heard)

        assert until("status")["phase"] == "serving"
        assert gateway("restart", "--name", "lives", "--run-dir", run_dir).returncode == 0
        assert until("outcome")["done"] == "restart"
        phases = [facts["phase"] for name, facts in heard if name == "phase"]
        assert phases == ["draining", "closing", "respawning", "starting", "serving"]
        said.signal(signal.SIGTERM)
        assert until("end")["text"] == "stopped"
        assert said.ends() == 0
        connection.close()


def test_an_address_that_is_taken_keeps_the_first_life_from_starting(run_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = gateway("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", "--admin", f"127.0.0.1:{port}")
    assert done.returncode == 78
    assert f"already listening on 127.0.0.1:{port}" in done.stderr


def test_an_application_that_is_full_starves_nobody(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "import threading\ndef app(environ, start_response):\n    threading.Event().wait(60)\n"
    )
    command = ["run", "stuck:app", "--threads", "1", "--run-dir", str(run_dir), "--stop-timeout", "0.5"]
    argv = gateway_argv(*command, "--bind", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    with started(*argv, cwd=tmp_path) as said:
        port = port_of(said)
        served = int(said.hears(r"address=127.0.0.1:(\d+)")[1])
        stuck = [socket.create_connection(("127.0.0.1", served)) for _ in range(20)]
        for client in stuck:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert eventually(lambda: samples(port)["gatewaylock_http_in_flight"] == 20)
        assert ask(port, "/healthz") == (200, "ok\n")
        for client in stuck:
            client.close()


def test_a_forked_child_keeps_no_copy_of_the_address(run_dir: Path) -> None:
    with python("lives.py", run_dir, OPTIONS=f"dict(annex={ADMIN})") as said:
        port = port_of(said)
        said.hears("serving:")
        said.do("child = os.fork() or (threading.Event().wait(60), os._exit(0))")
        said.do("say('forked', child, flush=True)")
        child = int(said.hears(r"forked (\d+)")[1])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in client.recv(100)
        assert gateway("stop", "--name", "lives", "--run-dir", run_dir).returncode == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        os.kill(child, signal.SIGKILL)  # it was there, with copies of all that we had not closed in it
        assert said.ends() == 0


# -- steering, and who may not ----------------------------------------------------------------------


def test_the_token_comes_from_a_file_or_the_environment_and_survives_an_exec(
    run_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        "import os\ndef start(gateway):\n    print('token', os.environ.get('GATEWAY_ADMIN_TOKEN'), flush=True)\n"
        "    return type('Server', (), {'close': lambda *a, **k: None})()\n"
    )
    argv = gateway_argv("run", "app:start", "--factory", "--run-dir", run_dir, "--admin", "127.0.0.1:0")
    with started(*argv, cwd=tmp_path, GATEWAY_ADMIN_TOKEN=TOKEN) as said:
        port = port_of(said)
        for life in (1, 2):
            said.hears("token None")  # what the application starts need not know it
            said.hears("serving:")
            assert eventually(lambda life=life: json.loads(ask(port, "/status")[1])["life"] == life)
            assert steer(port, token=TOKEN, do="restart", reason="to see it") == (200, "restarting\n")
        said.hears("serving:")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)
    with started(*argv, "--admin-token-file", tmp_path / "token", cwd=tmp_path) as said:
        port = port_of(said)
        said.hears("serving:")
        assert steer(port, token=TOKEN, do="stop") == (200, "stopping\n")
        assert said.ends() == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--admin", "127.0.0.1:0", "--admin-token", "sixteen-or-more!"], "a command line is not private"),
        (["--admin", "127.0.0.1:0", "--admin-token-file", "/nowhere"], "No such file"),
        (["--admin", "127.0.0.1:0", "--admin-host", "http://x"], "without a port"),
        (["--admin", "unix:/tmp/x"], "HOST:PORT"),
        (["--admin", "fd:http"], "HOST:PORT"),
        (["--admin", "127.0.0.1"], "HOST:PORT"),
        (["--admin-host", "name"], "need --admin"),
    ],
)
def test_wrong_options_are_told_before_anything_starts(wrong: list[str], says: str, run_dir: Path) -> None:
    done = gateway("run", "--run-dir", run_dir, "--bind", "127.0.0.1:0", *wrong)
    assert done.returncode in (2, 78)
    assert says in done.stderr


@pytest.fixture
def steered(run_dir: Path) -> Iterator[tuple[int, Program]]:
    """A gateway that may be steered, with one held task."""
    with python(
        "lives.py", run_dir, OPTIONS=f"dict(annex={ADMIN}, limits=Limits(stop=0.5))", START=HELD
    ) as said:
        port = port_of(said)
        said.hears("serving:")
        yield port, said


def test_nobody_steers_without_the_token_from_elsewhere_or_by_a_name_that_is_not_ours(
    steered: tuple[int, Program],
) -> None:
    port, said = steered
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    body = f"token={TOKEN}&do=stop"
    refused = {
        401: ask(port, "/steer", "POST", "token=wrong-wrong-wrong&do=stop", **form),
        405: ask(port, "/steer", "GET"),
        415: ask(port, "/steer", "POST", body, Content_Type="text/plain"),
        421: ask(port, "/steer", "POST", body, Host="evil.example", **form),
        400: ask(port, "/steer", "POST", f"token={TOKEN}&do=reboot", **form),
        409: steer(port, token=TOKEN, cancel="1.999"),
    }
    assert {status: answer[0] for status, answer in refused.items()} == {status: status for status in refused}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{port}"},  # Host says 127.0.0.1
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate"},
    ):
        assert ask(port, "/steer", "POST", body, **form, **headers)[0] == 403
    for path in ("/", "/status", "/metrics", "/live", "/events", "/healthz"):  # DNS rebinding
        assert ask(port, path, Host="evil.example")[0] == 421
        assert ask(port, path, Origin="http://evil.example")[0] == 403
    assert phase(port) == "serving"
    assert "wrong-wrong-wrong" not in said.text()


def test_a_form_works_without_javascript_and_a_bearer_token_for_programs(
    steered: tuple[int, Program],
) -> None:
    port, said = steered
    form = {"Content_Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{port}"}
    page = "text/html,application/xhtml+xml"
    assert ask(port, "/steer", "POST", f"token={TOKEN}&do=quiet", Accept=page, **form)[0] == 303
    assert phase(port) == "quiet"
    bearer = {"Authorization": f"Bearer {TOKEN}", **form}
    assert ask(port, "/steer", "POST", "do=stop+now&reason=enough", **bearer) == (200, "stopping\n")
    assert said.ends() == 0


def test_what_a_client_names_breaks_neither_the_page_nor_a_line_of_the_log(
    steered: tuple[int, Program],
) -> None:
    port, said = steered
    nasty = "%3Cscript%3Ealert(1)%3C/script%3E%0A%1B[31mred%E2%80%AE"
    assert eventually(lambda: "chat-&lt;b&gt;1" in ask(port, "/")[1])
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    said.do("gateway.lanes.submit(sleeps, 60, lane='</script><script>\\n\\x1b[2J\\u202e\\udc80')")
    assert ask(port, "/steer", "POST", f"token={TOKEN}&do=restart&reason={nasty}", **form)[0] == 200
    assert eventually(lambda: phase(port) == "draining")
    assert eventually(lambda: "&lt;/script&gt;&lt;script&gt;\\n\\x1b[2J\\u202e" in ask(port, "/")[1])
    for path in ("/", "/live"):
        text = ask(port, path)[1]
        assert "<script>alert" not in text and "</script><script>" not in text
        assert "\x1b" not in text and "\u202e" not in text
    assert 'class="other"' in ask(port, "/metrics")[1]
    assert "\x1b" not in said.text()
