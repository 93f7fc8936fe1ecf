"""Sockets that were open before we came: which of them is meant, and what they are called in the store."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from gatewaylock.core.errors import AddressTakenError, ConfigError
from gatewaylock.system import passed
from gatewaylock.system.host import Host
from gatewaylock.system.listeners import Listeners
from gatewaylock.system.passed import Passed, store_name


def tcp(host: str = "127.0.0.1", **options: object) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, **options)  # type: ignore[arg-type]


def test_names_in_the_store_are_valid_and_unique_to_the_address() -> None:
    long = "unix:/" + "d/" * 50
    keys = [
        "127.0.0.1:80",
        "127.0.0.1%3A80",
        "::1:80",
        "[::1]:80",
        "unix:/a",
        "unix:/a%",
        "unix:/ä",
        "unix:/a b",
    ]
    keys += [long + "1", long + "2", "unix:/" + "ä" * 50, "unix:/\udcff" * 9]
    names = [store_name(key) for key in keys]
    assert len(set(names)) == len(keys)
    for name in names:
        assert name.startswith("gatewaylock-") and len(name) <= 255
        assert all(" " <= c <= "~" and c != ":" for c in name)


def test_it_is_taken_for_the_address_that_it_listens_on_and_for_no_other() -> None:
    with tcp() as local, tcp("::", dualstack_ipv6=True) as both, tcp("::1") as six:
        port = both.getsockname()[1]
        assert Passed("", local).listens_on(socket.AF_INET, local.getsockname())
        assert not Passed("", local).listens_on(socket.AF_INET, ("127.0.0.2", local.getsockname()[1]))
        assert Passed("", both).listens_on(socket.AF_INET, ("0.0.0.0", port))
        assert Passed("", both).listens_on(socket.AF_INET6, ("::", port, 0, 0))
        assert not Passed("", both).listens_on(socket.AF_INET, ("127.0.0.1", port)), "that was to be local"
        assert not Passed("", six).listens_on(socket.AF_INET, ("0.0.0.0", six.getsockname()[1]))
        assert not Passed("", both).listens_on(socket.AF_UNIX, "/a")


@pytest.mark.parametrize("count", ["", "x", "-1", "99999999", "²"])
def test_garbage_is_nothing_and_is_removed(count: str) -> None:
    environ = {"LISTEN_PID": "77", "LISTEN_FDS": count, "LISTEN_FDNAMES": "a:b", "PATH": "/bin"}
    assert passed.take(environ, 77) == ()
    assert environ == {"PATH": "/bin"}


def test_what_is_meant_for_another_process_stays_for_it() -> None:
    environ = {"LISTEN_PID": "76", "LISTEN_FDS": "1"}
    assert passed.take(environ, 77) == ()
    assert environ == {"LISTEN_PID": "76", "LISTEN_FDS": "1"}


@pytest.mark.usefixtures("descriptors")
def test_what_is_no_listening_socket_is_left_alone() -> None:
    read, write = os.pipe()
    left, right = socket.socketpair()
    with left, right, socket.socket(type=socket.SOCK_DGRAM) as datagrams, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        for fd in (read, left.fileno(), datagrams.fileno(), bound.fileno(), 9999):
            assert passed.orphans([("127.0.0.1:80", fd)]) == ()
        os.write(write, b"x")
        assert os.read(read, 1) == b"x"
    os.close(read)
    os.close(write)


@pytest.mark.usefixtures("descriptors")
def test_a_stored_socket_comes_back_by_what_was_asked_for_even_port_0() -> None:
    stored = tcp()
    listeners = Listeners(Host(), passed=[Passed(store_name("127.0.0.1:0"), stored)])
    assert listeners.tcp("127.0.0.1", 0) is stored
    assert listeners.settle() == [] and listeners.foreign() == ()
    assert listeners.storable() == {"gatewaylock-127.0.0.1%3A0": stored.fileno()}
    listeners.close()


@pytest.mark.usefixtures("descriptors")
def test_what_nobody_asks_for_is_closed_and_named(caplog: pytest.LogCaptureFixture) -> None:
    listeners = Listeners(Host(), passed=[Passed(store_name("127.0.0.1:1"), tcp()), Passed("web", tcp())])
    assert listeners.settle() == ["gatewaylock-127.0.0.1%3A1"]
    assert "nobody asked for it" in caplog.text
    listeners.close()


@pytest.mark.usefixtures("descriptors")
def test_a_socket_unit_keeps_its_path_and_its_place_outside_the_store(run_dir: Path) -> None:
    path = str(run_dir / "web.sock")
    given = socket.socket(socket.AF_UNIX)
    given.bind(path)
    given.listen()
    listeners = Listeners(Host(), passed=[Passed("web", given)])
    assert listeners.unix(path) is given
    assert (listeners.storable(), listeners.foreign()) == ({}, (f"unix:{path}",))
    listeners.close()
    assert os.path.exists(path)


@pytest.mark.usefixtures("descriptors")
def test_a_stored_unix_socket_without_its_path_is_made_anew(run_dir: Path) -> None:
    path = str(run_dir / "web.sock")
    lost = socket.socket(socket.AF_UNIX)
    lost.bind(path)
    lost.listen()
    os.unlink(path)
    listeners = Listeners(Host(), passed=[Passed(store_name(f"unix:{path}"), lost)])
    assert listeners.unix(path) is not lost
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    listeners.settle()
    listeners.close()


@pytest.mark.usefixtures("descriptors")
def test_what_the_last_life_had_on_a_port_gives_way_to_another_address_of_it() -> None:
    old = tcp("127.0.0.1")
    port = old.getsockname()[1]
    listeners, lost = Listeners(Host(), {f"127.0.0.1:{port}": old.detach()}), []
    listeners.lost = lost.append
    listeners.begin()
    assert listeners.tcp("0.0.0.0", port).getsockname() == ("0.0.0.0", port)
    stored = listeners.tcp("0.0.0.0", port).dup()
    listeners.close()
    again = Listeners(Host(), passed=[Passed(store_name(f"0.0.0.0:{port}"), stored)])
    again.lost = lost.append
    assert again.tcp("127.0.0.1", port).getsockname() == ("127.0.0.1", port)
    with pytest.raises(AddressTakenError):
        again.tcp("0.0.0.0", port)  # asked for in the same life: they really are in each other's way
    again.close()
    assert lost == [store_name(f"127.0.0.1:{port}"), store_name(f"0.0.0.0:{port}")]


@pytest.mark.usefixtures("descriptors")
def test_a_name_has_to_be_there_once() -> None:
    listeners = Listeners(Host(), passed=[Passed("web", tcp()), Passed("two", tcp()), Passed("two", tcp())])
    with pytest.raises(
        ConfigError, match="fd:admin: 0 sockets of that name were passed: two, two, web are there"
    ):
        listeners.tcp("fd:admin", 0)
    with pytest.raises(ConfigError, match="fd:two: 2 sockets"):
        listeners.tcp("fd:two", 0)
    assert listeners.tcp("fd:web", 0).getsockname()[0] == "127.0.0.1"
    listeners.close()
