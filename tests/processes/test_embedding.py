"""The loop in servers that are not ours."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from xmlrpc.client import ServerProxy

import pytest
from speaking import python


def test_a_socketserver_restarts_by_exec_on_the_same_port_with_the_same_pid(run_dir: Path) -> None:
    with python("tcp_echo.py", run_dir, "0") as said:
        port = int(said.hears(r"ready \d+ (\d+)")[1])
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                client.sendall(b"hello\n")
                assert client.recv(100) == b"%d hello\n" % said.pid
            said.signal(signal.SIGUSR1)
            assert int(said.hears(r"ready \d+ (\d+)")[1]) == port
        said.signal(signal.SIGTERM)
        assert said.ends() == 0


def test_who_connects_while_the_image_changes_is_served_by_the_next_life(run_dir: Path) -> None:
    with python("tcp_echo.py", run_dir, "0") as said:
        port = int(said.hears(r"ready \d+ (\d+)")[1])
        clients = []
        with socket.create_connection(("127.0.0.1", port), 10) as holding:
            holding.sendall(b"first\n")
            assert holding.recv(100)
            said.signal(signal.SIGUSR1)  # close() waits for `holding`; nobody accepts meanwhile
            clients = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(20)]
            for client in clients:
                client.sendall(b"hello\n")
                client.shutdown(socket.SHUT_WR)  # or close() would wait for those it had accepted
        said.hears("ready")
        for client in clients:
            client.settimeout(10)
            assert client.recv(100) == b"%d hello\n" % said.pid
            client.close()


def test_an_xml_rpc_server_in_threads_restarts(run_dir: Path) -> None:
    with python("rpc_server.py", run_dir, "0") as said:
        port = int(said.hears(r"ready \d+ (\d+)")[1])
        with ServerProxy(f"http://127.0.0.1:{port}") as server:
            assert server.pow(2, 10) == 1024
            said.signal(signal.SIGUSR1)
            said.hears("ready")
            assert server.pid() == said.pid


@pytest.mark.parametrize("times", [3])
def test_a_worker_without_any_socket_restarts(run_dir: Path, times: int) -> None:
    with python("worker.py", run_dir) as said:
        for life in range(1, times + 1):
            said.hears(f"working, life {life}")
            said.signal(signal.SIGUSR1)
            said.hears("closed: gateway restarting")
        said.hears("working")
        said.signal(signal.SIGTERM)
        said.hears("closed: gateway stopping")
        assert said.ends() == 0
