from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from gatewaylock.core.deadline import Deadline
from gatewaylock.system.host import Host
from gatewaylock.system.inbox import RULES, Inbox, signal_numbers


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox(Host())
    yield made
    made.close()


SOON = 10.0


def test_messages_come_in_the_order_in_which_they_were_posted(inbox: Inbox) -> None:
    for message in ("a", "b", "c"):
        inbox.post(message)
    assert [inbox.wait(Deadline.after(SOON)) for _ in "abc"] == ["a", "b", "c"]


def test_waiting_ends_at_the_deadline(inbox: Inbox) -> None:
    assert inbox.wait(Deadline.after(0.01)) is None


def test_a_message_wakes_the_one_who_waits(inbox: Inbox) -> None:
    threading.Timer(0.02, inbox.post, ["late"]).start()
    assert inbox.wait(Deadline.after(SOON)) == "late"


def test_a_signal_is_a_message(inbox: Inbox) -> None:
    with inbox.borrowed():
        os.kill(os.getpid(), signal.SIGUSR1)
        assert inbox.wait(Deadline.after(SOON)) == signal.SIGUSR1


def test_the_watcher_of_a_start_sees_a_signal_and_leaves_the_message(inbox: Inbox) -> None:
    with inbox.borrowed():
        os.kill(os.getpid(), signal.SIGTERM)
        assert inbox.readable(Deadline.after(SOON))
        assert inbox.signals() == [signal.SIGTERM]
        assert inbox.wait(Deadline.after(SOON)) == signal.SIGTERM


def test_handlers_and_wakeup_descriptor_are_given_back_also_after_half_of_it_failed(inbox: Inbox) -> None:
    before = [signal.getsignal(number) for number in signal_numbers()]

    def fails_at_the_last(number: int, handler: object) -> object:
        if number == signal_numbers()[-1] and handler == broken.on_signal:
            raise OSError("no")
        return signal.signal(number, handler)  # type: ignore[arg-type]

    broken = Inbox(Host(handle=fails_at_the_last))
    with pytest.raises(OSError, match="no"), broken.borrowed():
        pass
    broken.close()
    assert [signal.getsignal(number) for number in signal_numbers()] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_an_ignored_sigint_stays_ignored(inbox: Inbox) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with inbox.borrowed():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) == inbox.on_signal
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_flood_of_messages_fills_the_pipe_and_loses_none(inbox: Inbox) -> None:
    for number in range(70_000):
        inbox.post(str(number))
    assert [inbox.wait(Deadline.after(SOON)) for _ in range(70_000)] == [str(n) for n in range(70_000)]
    assert inbox.wait(Deadline.after(0)) is None


def test_a_stop_waits_behind_three_of_a_thousand_restarts_and_every_other_message(inbox: Inbox) -> None:
    for _ in range(1000):
        inbox.on_signal(signal.SIGUSR1)
    inbox.post("a message")
    inbox.on_signal(signal.SIGTERM)
    heard = [inbox.wait(Deadline.after(SOON)) for _ in range(5)]
    assert heard == [signal.SIGUSR1, signal.SIGUSR1, signal.SIGUSR1, "a message", signal.SIGTERM]
    assert inbox.wait(Deadline.after(0)) is None


def test_three_stops_are_three_also_when_they_wait_together(inbox: Inbox) -> None:
    for _ in range(5):
        inbox.on_signal(signal.SIGTERM)
    assert inbox.pending() == [signal.SIGTERM] * 3


def test_signals_in_an_inherited_pipe_are_messages() -> None:
    read, write = os.pipe2(os.O_NONBLOCK)
    os.write(write, bytes([0, signal.SIGTERM, 0]))
    heir = Inbox(Host(), (read, write))
    assert heir.wait(Deadline.after(0)) == signal.SIGTERM
    assert heir.wait(Deadline.after(0)) is None
    assert not os.get_inheritable(read)
    heir.close()


def test_posting_to_a_closed_inbox_harms_nothing(inbox: Inbox) -> None:
    inbox.close()
    inbox.post("nobody hears it")
    inbox.close()


def test_a_descriptor_above_1023_can_be_waited_for() -> None:
    low, other = os.pipe2(os.O_NONBLOCK)
    import fcntl
    import resource

    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1100:
        pytest.skip("the descriptor limit is too low")
    high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 1100)
    os.close(low)
    heir = Inbox(Host(), (high, other))
    assert heir.wait(Deadline.after(0.01)) is None
    heir.close()


def test_every_rule_is_a_signal_of_this_platform() -> None:
    assert len(signal_numbers()) == len(RULES)


def test_no_signal_is_missed_while_other_threads_are_busy_and_come_and_go(inbox: Inbox) -> None:
    """A main thread that waits on a lock misses about one in ten of these, for good."""
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            sum(range(2000))

    def churn() -> None:
        while not over.is_set():
            thread = threading.Thread(target=sum, args=(range(100),))
            thread.start()
            thread.join()

    threads = [threading.Thread(target=target) for target in (spin, churn)]
    for thread in threads:
        thread.start()
    try:
        with inbox.borrowed():
            for _ in range(300):
                threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1)).start()
                assert inbox.wait(Deadline.after(SOON)) == signal.SIGUSR1
    finally:
        over.set()
        for thread in threads:
            thread.join()
