"""What a program that embeds a gateway may get wrong, and hears at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from speaking import environment

from gatewaylock import ConfigError, Gateway, GatewayError, GatewayLock, Limits, StartFailed

QUICK = Limits(drain=1, shutdown=5, stop=5, lock=0.2)


class Quiet:
    """A server as it should be."""

    def close(self, reason: str, *, restart_expected_ms: int | None) -> None:
        pass


def stopping(server: object) -> Callable[[Gateway], Any]:
    """A start() that gives back *server*, and asks for the end."""

    def start(gateway: Gateway) -> Any:
        threading.Timer(0.05, gateway.request_stop).start()
        return server

    return start


def gateway(run_dir: Path, **options: Any) -> Gateway:
    return Gateway("embedded", run_dir=str(run_dir), **{"limits": QUICK, **options})


WRONG: dict[str, Any] = {
    "name": [None, 5, b"bytes"],
    "port": ["80", -1, 65536, 1.5],
    "limits": [None, {}, 90],
    "threads": ["4", None, 1.5],
    "restart_exit_code": ["1", -1, 256, None],
    "preflight": ["module:attr", 5],
    "probation": ["2", None],
    "supervisor_timeout": ["3"],
}


@pytest.mark.parametrize("option", WRONG)
def test_an_option_that_cannot_be_is_told_by_name_and_value(option: str) -> None:
    for value in WRONG[option]:
        with pytest.raises(ConfigError) as caught:
            Gateway(**{option: value})
        assert option.replace("_", "-") in str(caught.value).replace("_", "-")
        assert repr(value) in str(caught.value)


def test_a_lock_is_named_as_a_gateway_is() -> None:
    with pytest.raises(ConfigError, match="name 5: "):
        GatewayLock(5)  # type: ignore[arg-type]


class NoArguments:
    def close(self) -> None:
        pass


class NoRestart:
    def close(self, reason: str) -> None:
        pass


@pytest.mark.parametrize(
    "server",
    [NoArguments(), NoRestart(), Quiet, None, 5],
    ids=["no arguments", "no restart", "a class", "None", "5"],
)
def test_a_close_that_cannot_be_called_is_told_when_it_starts_not_when_it_stops(
    run_dir: Path, server: object
) -> None:
    with pytest.raises(StartFailed, match="which has no close"):
        gateway(run_dir).run(stopping(server), install_signals=False)


class Keywords:
    def close(self, *args: object, **kw: object) -> None:
        pass


class ByPosition:
    def close(self, why: str, restart_expected_ms: int | None = None, more: int = 0) -> None:
        pass


@pytest.mark.parametrize("server", [Quiet(), Keywords(), ByPosition()], ids=lambda one: type(one).__name__)
def test_a_close_that_can_be_called_will_do(run_dir: Path, server: object) -> None:
    assert gateway(run_dir).run(stopping(server), install_signals=False) == 0


def test_a_stop_before_run_is_not_lost(run_dir: Path) -> None:
    early = gateway(run_dir)
    early.request_stop("too early for run()")
    assert early.stop_requested.is_set()
    codes: list[int] = []
    ran = threading.Thread(
        target=lambda: codes.append(early.run(lambda _: Quiet(), install_signals=False)), daemon=True
    )
    ran.start()
    ran.join(10)
    hangs = ran.is_alive()
    early.request_stop("so that nothing is left")
    ran.join(10)
    assert not hangs
    assert codes == [0]
    assert any(record.get("reason") == "too early for run()" for record in early.history())


def test_signals_are_for_the_main_thread_and_it_is_said_how_to_do_without(run_dir: Path) -> None:
    caught: list[BaseException] = []

    def run() -> None:
        try:
            gateway(run_dir).run(lambda _: Quiet())
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert [type(error) for error in caught] == [GatewayError]
    assert "install_signals=False" in str(caught[0])


def test_what_cannot_be_called_is_refused_where_it_is_given(run_dir: Path) -> None:
    mine: Any = gateway(run_dir)
    for wrong in (
        lambda: mine.run(None),
        lambda: mine.on("phase", None),
        lambda: mine.runs.register("job", abort=None),
        lambda: mine.runs.register("job", abort=print, is_compacting=True),
        lambda: mine.restarts.defer_until_idle(5),
        lambda: mine.lanes.submit(print, lane=5),
        lambda: mine.lanes.set_concurrency(5, 1),
    ):
        with pytest.raises(TypeError, match=r"function|string"):
            wrong()
    assert mine.runs.active_count() == 0


def test_a_port_from_the_environment_is_no_number(run_dir: Path) -> None:
    port: Any = "18789"

    def start(mine: Gateway) -> Quiet:
        mine.listen("127.0.0.1", port)
        return Quiet()

    with pytest.raises(ConfigError, match="ports are whole numbers, 0 to 65535, not '18789'"):
        gateway(run_dir).run(start, install_signals=False)


PROGRAM = """
import sys, threading
from gatewaylock import Gateway, Limits
def hang(): threading.Event().wait()
class Server:
    def __init__(self, gateway):
        {in_start}
        gateway.request_stop()
    def close(self, reason, *, restart_expected_ms): pass
gateway = Gateway("held", run_dir=sys.argv[1], limits=Limits(stop=0.5))
print(gateway.run(Server), flush=True)
{after}
"""


@pytest.mark.parametrize(
    "in_start, after, blamed",
    [
        ("threading.Thread(target=hang, name='mine').start()", "", "thread 'mine', which is no daemon"),
        ("pass", "hang()", "the program, which goes on after run(): say run(..., exits=False)"),
    ],
    ids=["a thread", "the program"],
)
def test_who_keeps_a_process_that_has_stopped_is_named(
    run_dir: Path, in_start: str, after: str, blamed: str
) -> None:
    words = [sys.executable, "-c", PROGRAM.format(in_start=in_start, after=after), str(run_dir)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, env=environment())
    assert (done.stdout, done.returncode) == ("0\n", 0)
    assert "shutdown timed out; exiting without full cleanup" in done.stderr
    assert f"unfinished: {blamed}" in done.stderr
    assert done.stderr.count("unfinished:") == 1
