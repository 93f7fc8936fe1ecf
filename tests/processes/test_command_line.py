"""The next image is started as the last one was, whatever has moved meanwhile."""

from __future__ import annotations

import os
import shutil
import sys
import venv
import zipapp
from pathlib import Path

import portalocker
from speaking import ROOT, Program, gateway, started

FACTORY = """
class Server:
    def close(self, reason, *, restart_expected_ms): pass
def start(gateway):
    print('release', RELEASE, flush=True)
    return Server()
"""


def restarts(said: Program, run_dir: Path) -> None:
    said.hears("serving: .* life=1")
    done = gateway("restart", "--run-dir", run_dir)
    assert done.returncode == 0, done.stderr
    said.hears(f"serving: name=gateway pid={said.pid} life=2")


def test_a_virtual_environment_behind_a_symlink_starts_the_release_it_leads_to_now(
    run_dir: Path, tmp_path: Path
) -> None:
    for release in ("1", "2"):
        venv.create(tmp_path / release, symlinks=True)
        [packages] = (tmp_path / release).glob("lib/python*/site-packages")
        (packages / "checkout.pth").write_text(f"{ROOT}\n{Path(portalocker.__path__[0]).parent}\n")
        (packages / "release.py").write_text(f"RELEASE = {release}\n{FACTORY}")
    (tmp_path / "current").symlink_to("1")
    python = tmp_path / "current/bin/python"
    words = (python, "-m", "gatewaylock", "run", "release:start", "--factory", "--run-dir", run_dir)
    with started(*words, cwd=Path("/"), PYTHONPATH="") as said:
        said.hears("release 1")
        said.hears("serving")
        (tmp_path / "next").symlink_to("2")
        os.rename(tmp_path / "next", tmp_path / "current")
        assert gateway("restart", "--run-dir", run_dir).returncode == 0
        said.hears("release 2")


def test_a_relative_path_is_found_although_the_directory_is_gone(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    relative = os.path.relpath(ROOT / "bin/gateway", tmp_path / "here")
    words = (sys.executable, relative, "run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    with started(*words, cwd=tmp_path / "here", PYTHONPATH="") as said:
        said.hears("serving")
        (tmp_path / "here").rmdir()
        done = gateway("restart", "--run-dir", run_dir)
        assert done.returncode == 0, done.stderr
        said.hears("life=2")


def test_a_zipapp_restarts(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "gatewaylock", tmp_path / "app/gatewaylock")
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz", main="gatewaylock.cli:main")
    words = (sys.executable, "app.pyz", "run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    with started(*words, cwd=tmp_path, PYTHONPATH="") as said:
        restarts(said, run_dir)


def test_a_console_script_restarts(run_dir: Path, tmp_path: Path) -> None:
    script = tmp_path / "gateway"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom gatewaylock.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    with started(script, "run", "--run-dir", run_dir, "--bind", "127.0.0.1:0") as said:
        restarts(said, run_dir)


def test_an_interpreter_that_is_gone_refuses_the_restart_and_serves_on(run_dir: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv/bin/python"
    packages = Path(portalocker.__path__[0]).parent
    words = (python, "-m", "gatewaylock", "run", "--run-dir", run_dir, "--bind", "127.0.0.1:0")
    with started(*words, PYTHONPATH=f"{ROOT}:{packages}") as said:
        said.hears("serving")
        shutil.rmtree(tmp_path / "venv")
        done = gateway("restart", "--run-dir", run_dir)
        assert done.returncode == 1
        assert "cannot start" in done.stderr
        forced = gateway("restart", "--run-dir", run_dir, "--force")
        assert "life 2 serves" in forced.stdout
        said.hears("full process restart failed .*; falling back to in-process restart")
