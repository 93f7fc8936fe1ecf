from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewaylock import AddressTakenError, ConfigError, GatewayError
from gatewaylock.system.host import Host
from gatewaylock.system.listeners import Listeners


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    made = Listeners(Host())
    yield made
    made.close()


def test_the_same_address_is_the_same_socket_in_every_life(listeners: Listeners) -> None:
    first = listeners.tcp("127.0.0.1", 0)
    listeners.begin()
    assert listeners.tcp("127.0.0.1", 0) is first
    listeners.settle()
    socket.create_connection(first.getsockname()).close()


def test_what_a_life_no_longer_asks_for_is_closed(listeners: Listeners) -> None:
    address = listeners.tcp("127.0.0.1", 0).getsockname()
    listeners.begin()
    listeners.settle()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    assert listeners.addresses() == ()


def test_a_connection_waits_in_an_inherited_listener(listeners: Listeners) -> None:
    address = listeners.tcp("127.0.0.1", 0).getsockname()
    client = socket.create_connection(address)
    inherited = {key: os.dup(fd) for key, fd in listeners.descriptors().items()}
    listeners.close()
    heir = Listeners(Host(), inherited)
    connection, _ = heir.tcp("127.0.0.1", 0).accept()
    heir.close()
    for side in (client, connection):
        side.close()


def test_a_taken_port_is_an_error_that_says_so(listeners: Listeners) -> None:
    port = listeners.tcp("127.0.0.1", 0).getsockname()[1]
    other = Listeners(Host())
    with pytest.raises(AddressTakenError, match=f"already listening on 127.0.0.1:{port}"):
        other.tcp("127.0.0.1", port)


@pytest.mark.parametrize("port", [70000, -1])
def test_a_port_that_cannot_be_is_an_error(listeners: Listeners, port: int) -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        listeners.tcp("127.0.0.1", port)


#: for documentation: no machine has it
ABSENT = "192.0.2.1"


def test_an_address_that_is_not_there_yet_ends_a_start_so_that_it_is_tried_again(
    listeners: Listeners,
) -> None:
    with pytest.raises(GatewayError, match=f"cannot listen on {ABSENT}:8080: ") as caught:
        listeners.tcp(ABSENT, 8080)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("number", "code"), [(socket.EAI_AGAIN, 1), (socket.EAI_NONAME, 78), (socket.EAI_FAMILY, 78)]
)
def test_a_name_is_looked_up_again_by_the_next_start_only_where_that_may_help(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def fails(*args: object, **words: object) -> None:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(GatewayError, match="cannot listen on name:80: ") as caught:
        listeners.tcp("name", 80)
    assert caught.value.exit_code == code


def test_a_unix_socket_is_private_and_goes_with_us(listeners: Listeners, run_dir: Path) -> None:
    path = run_dir / "s"
    listeners.unix(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    listeners.close()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_a_live_one_is_not(listeners: Listeners, run_dir: Path) -> None:
    path = str(run_dir / "s")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    listeners.unix(path)
    with pytest.raises(AddressTakenError):
        Listeners(Host()).unix(path)


def test_something_else_in_the_place_of_a_unix_socket_is_left_alone(
    listeners: Listeners, run_dir: Path
) -> None:
    (run_dir / "s").write_text("precious")
    with pytest.raises(ConfigError, match="something else"):
        listeners.unix(str(run_dir / "s"))
    assert (run_dir / "s").read_text() == "precious"


def test_a_unix_path_that_is_too_long_says_so(listeners: Listeners, run_dir: Path) -> None:
    with pytest.raises(ConfigError, match="107"):
        listeners.unix(str(run_dir / ("x" * 200)))


def test_ipv6_and_ipv4_listen_side_by_side_on_one_port(listeners: Listeners) -> None:
    port = listeners.tcp("127.0.0.1", 0).getsockname()[1]
    try:
        listeners.tcp("::1", port)
    except ConfigError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert listeners.addresses() == (f"127.0.0.1:{port}", f"[::1]:{port}")
