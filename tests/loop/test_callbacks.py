"""gateway.on: foreign code beside the loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from gatewaylock.core.deadline import Deadline
from gatewaylock.core.events import Event
from gatewaylock.loop import callbacks
from gatewaylock.loop.callbacks import Callbacks

LONG = 10.0


def event(kind: str = "phase", life: int = 1) -> Event:
    return Event(kind, "serving", life, 1, {})


@pytest.fixture
def calls() -> Iterator[Callbacks]:
    made = Callbacks()
    yield made
    made.close(Deadline.after(LONG))


def test_events_are_told_in_order_on_one_thread_that_is_not_ours(calls: Callbacks) -> None:
    heard: list[tuple[int, int]] = []
    calls.on("phase", lambda event: heard.append((event.life, threading.get_ident())))
    for life in range(100):
        calls.hear(event(life=life))
        calls.hear(event("end"))  # nobody asked for it
    assert calls.settle(Deadline.after(LONG))
    assert [life for life, _ in heard] == list(range(100))
    assert len({thread for _, thread in heard}) == 1 and heard[0][1] != threading.get_ident()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt()])
def test_one_that_raises_harms_nobody(
    calls: Callbacks, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def raises(event: Event) -> None:
        raise error

    calls.on("phase", raises)
    calls.on("phase", heard.append)
    calls.hear(event())
    calls.hear(event())
    assert calls.settle(Deadline.after(LONG)) and len(heard) == 2
    assert "a callback failed with phase" in caplog.text


def test_one_that_hangs_costs_events_and_never_time(
    calls: Callbacks, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "MOST", 5)
    began, end = threading.Event(), threading.Event()
    heard: list[int] = []

    def hangs(event: Event) -> None:
        heard.append(event.life)
        began.set()
        end.wait(LONG)

    calls.on("phase", hangs)
    calls.hear(event(life=0))
    assert began.wait(LONG)
    for life in range(1, 10):
        calls.hear(event(life=life))
    assert not calls.settle(Deadline.after(0.01))
    end.set()
    assert calls.settle(Deadline.after(LONG))
    assert heard == [0, 1, 2, 3, 4, 5]
    assert "4 event(s) were lost" in caplog.text


def test_a_callback_that_is_off_hears_nothing_more_and_its_twin_does(calls: Callbacks) -> None:
    heard: list[Event] = []
    off = calls.on("phase", heard.append)
    calls.on("phase", heard.append)
    calls.hear(event())
    assert calls.settle(Deadline.after(LONG)) and len(heard) == 2
    off()
    off()
    calls.hear(event())
    assert calls.settle(Deadline.after(LONG)) and len(heard) == 3


def test_an_event_that_there_is_not_is_a_mistake(calls: Callbacks) -> None:
    with pytest.raises(ValueError, match="no event 'dance': there are phase, "):
        calls.on("dance", print)


def test_nobody_who_listens_costs_no_thread(calls: Callbacks) -> None:
    calls.hear(event())
    calls.on("end", print)
    calls.hear(event())
    assert calls._thread is None


def test_close_lets_the_last_words_be_said_but_does_not_wait_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls, end, heard = Callbacks(), threading.Event(), list[Event]()
    calls.on("phase", heard.append)
    calls.hear(event())
    calls.close(Deadline.after(LONG))
    assert len(heard) == 1
    calls.hear(event())
    assert len(heard) == 1
    stuck = Callbacks()
    stuck.on("phase", lambda event: end.wait(LONG))
    stuck.hear(event())
    before = time.monotonic()
    stuck.close(Deadline.after(0.01))
    assert time.monotonic() - before < LONG / 2
    assert "a callback does not come back" in caplog.text
    end.set()
    assert stuck._thread is not None
    stuck._thread.join(LONG)


def test_no_thread_to_be_had_is_told_and_the_next_event_tries_again(
    calls: Callbacks, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    heard: list[int] = []
    calls.on("phase", lambda event: heard.append(event.life))
    with monkeypatch.context() as patched:
        patched.setattr(
            threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("no thread"))
        )
        calls.hear(event(life=1))
    assert "no thread for callbacks" in caplog.text
    calls.hear(event(life=2))
    assert calls.settle(Deadline.after(LONG)) and heard == [1, 2]
