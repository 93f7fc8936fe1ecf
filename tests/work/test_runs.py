"""Runs: registered, asked to give up, waited for."""

from __future__ import annotations

import threading
import time

import pytest

from gatewaylock.work.runs import Runs

LONG = 10.0


def nothing() -> None:
    """An abort that works."""


def boom() -> bool:
    raise OSError("of the callback")


def test_a_run_ends_with_its_block_however_it_is_left() -> None:
    runs = Runs()
    with runs.register("a", abort=nothing):
        assert runs.active_count() == 1
    with pytest.raises(ZeroDivisionError), runs.register("a", abort=nothing):
        raise ZeroDivisionError
    assert runs.active_count() == 0


def test_registering_an_id_again_replaces_it_and_the_old_handle_ends_nothing() -> None:
    runs, asked = Runs(), []
    old = runs.register("a", abort=lambda: asked.append("old"))
    new = runs.register("a", abort=lambda: asked.append("new"))
    old.end()
    assert runs.active_count() == 1
    assert runs.abort("a") and asked == ["new"]
    new.end()
    new.end()
    assert runs.active_count() == 0


def test_aborting_asks_and_does_not_unregister() -> None:
    runs, asked = Runs(), []
    runs.register("a", abort=lambda: asked.append(1))
    assert runs.abort("a") and runs.abort("a")
    assert asked == [1, 1] and runs.active_count() == 1


def test_aborting_an_unknown_run_is_false() -> None:
    assert Runs().abort("nobody") is False
    assert Runs().abort(mode="all") is False


@pytest.mark.parametrize("error", [OSError("no"), SystemExit(1)])
def test_an_abort_that_raises_is_false_and_warns_on_one_line(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    runs = Runs()
    runs.register("a\nb", abort=fail)
    assert runs.abort("a\nb") is False
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("gatewaylock.runs", "WARNING")
    assert record.getMessage().startswith(r'abort of run "a\nb" failed') and "\n" not in record.getMessage()


def test_one_failing_abort_does_not_stop_the_others() -> None:
    runs, asked = Runs(), []
    runs.register("a", abort=boom)
    runs.register("b", abort=lambda: asked.append("b"))
    runs.register("c", abort=boom)
    assert runs.abort(mode="all") and asked == ["b"]


def test_only_compacting_runs_are_asked_in_that_mode(caplog: pytest.LogCaptureFixture) -> None:
    runs, asked = Runs(), []
    for id, compacting in (("no", lambda: False), ("yes", lambda: True), ("broken", boom)):
        runs.register(id, abort=lambda id=id: asked.append(id), is_compacting=compacting)  # type: ignore[misc]
    assert runs.abort(mode="compacting") and asked == ["yes"]
    assert 'is_compacting of run "broken" failed' in caplog.text


@pytest.mark.parametrize(("id", "mode"), [(None, None), ("a", "all"), (None, "gently")])
def test_a_meaningless_abort_is_refused(id: str | None, mode: str | None) -> None:
    with pytest.raises(ValueError, match="abort needs an id, or mode"):
        Runs().abort(id, mode=mode)


def test_callbacks_may_use_the_registry() -> None:
    runs = Runs()
    run = runs.register("a", abort=lambda: run.end(), is_compacting=lambda: runs.active_count() == 1)
    assert runs.abort(mode="compacting") and runs.active_count() == 0


def test_waiting_ends_when_the_registry_is_empty() -> None:
    runs = Runs()
    first, second = (runs.register(id, abort=nothing) for id in "ab")
    assert runs.wait_for_active(0) is False
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(runs.wait_for_active(LONG)))
    waiter.start()
    first.end()
    assert runs.wait_for("a", 0) and not runs.wait_for("b", 0.001)
    second.end()
    waiter.join(LONG)
    assert answers == [True]


@pytest.mark.parametrize("replaced", [False, True])
def test_waiting_for_one_run_ends_when_it_ends_or_is_replaced(replaced: bool) -> None:
    runs, answers = Runs(), list[bool]()
    assert runs.wait_for("nobody", None) is True
    run = runs.register("a", abort=nothing)
    waiter = threading.Thread(target=lambda: answers.append(runs.wait_for("a", LONG)))
    waiter.start()
    while not runs._changed._waiters:  # type: ignore[attr-defined]  # until it waits
        time.sleep(0)
    if replaced:
        runs.register("a", abort=nothing)
    else:
        run.end()
    waiter.join(LONG)
    assert answers == [True]


def test_live_names_at_most_twenty_runs() -> None:
    runs = Runs()
    for n in range(25):
        runs.register(f"chat\x1b{n}", abort=nothing)
    names = runs.live()
    assert names[0] == r'run "chat\x1b0", running 0.0 s' and names[20:] == ("and 5 more",)


def test_many_threads_leave_an_empty_registry() -> None:
    runs = Runs()

    def work(n: int) -> None:
        for turn in range(300):
            with runs.register(f"run {(n + turn) % 7}", abort=nothing):
                runs.abort(mode="all")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert runs.wait_for_active(0) and runs.live() == ()
