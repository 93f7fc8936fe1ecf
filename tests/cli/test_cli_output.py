"""What a command says goes out in whole lines: a service writes to the same pipe."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from speaking import environment


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("word", "stream"), [("help", "stdout"), ("check", "stderr")])
def test_a_text_and_its_newline_are_one_write(word: str, stream: str, unbuffered: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # each write is a packet
    words = [sys.executable, "-m", "gatewaylock", word, *(["no.such:thing"] if word == "check" else [])]
    env = environment(PYTHONUNBUFFERED=unbuffered)
    with ours, theirs:
        ours.settimeout(30)
        subprocess.run(words, check=False, timeout=30, env=env, **{stream: theirs})  # type: ignore[call-overload]
        said = ours.recv(65536)
    assert len(said) > 20 and said.endswith(b"\n")
