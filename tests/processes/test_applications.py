"""Applications that nobody here wrote, behind ``gateway run``."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from speaking import environment, gateway, gateway_argv, started

requests = pytest.importorskip("requests")
CURL = shutil.which("curl")


def test_httpbin_serves_a_kept_alive_session_curl_and_a_10_mb_upload_over_a_restart(run_dir: Path) -> None:
    pytest.importorskip("httpbin")
    words = gateway_argv("run", "httpbin:app", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    upload = os.urandom(10_000_000)
    with started(*words) as said, requests.Session() as session:
        address = said.hears(r"address=(\S+)")[1]
        for _ in range(2):
            for number in range(20):
                answer = session.get(f"http://{address}/get", params={"number": number}, timeout=20)
                assert answer.json()["args"] == {"number": str(number)}
            echoed = session.post(f"http://{address}/anything", data=upload, timeout=60).json()["data"]
            assert hashlib.sha256(decoded(echoed)).digest() == hashlib.sha256(upload).digest()
            streamed = session.get(f"http://{address}/stream-bytes/100000", timeout=20)
            assert len(streamed.content) == 100_000
            if CURL:
                done = subprocess.run(
                    [CURL, "-sS", "-o", os.devnull, "-w", "%{http_code}", f"http://{address}/status/418"],
                    capture_output=True,
                    text=True,
                    timeout=20,
                )
                assert done.stdout == "418", done.stderr
            assert gateway("restart", "--run-dir", run_dir).returncode == 0


def decoded(data: str) -> bytes:
    """What httpbin makes of bytes that are no text."""
    from base64 import b64decode

    return b64decode(data.partition("base64,")[2])


def test_a_scaffolded_django_project_is_served_and_restarted(run_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("django")
    made = [sys.executable, "-m", "django", "startproject", "hello", str(tmp_path)]
    subprocess.run(made, check=True, timeout=60, env=environment())
    words = gateway_argv("run", "hello.wsgi:application", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    with started(*words, cwd=tmp_path) as said, requests.Session() as session:
        address = said.hears(r"address=(\S+)")[1]
        for _ in range(2):
            answer = session.get(f"http://{address}/", timeout=20)
            assert answer.status_code == 200
            assert "install worked successfully" in answer.text
            assert gateway("restart", "--run-dir", run_dir).returncode == 0
