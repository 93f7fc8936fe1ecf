from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatewaylock import RunDirError
from gatewaylock.system.rundir import SOCKET_PATH_BYTES, RunDir, default_run_dir


def test_a_missing_run_directory_is_made_private(run_dir: Path) -> None:
    made = RunDir.open(str(run_dir / "a" / "b"))
    assert os.stat(made.path).st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_directory_that_others_can_write_to_is_refused(run_dir: Path, mode: int) -> None:
    run_dir.chmod(mode)
    with pytest.raises(RunDirError, match="others can write"):
        RunDir.open(str(run_dir))


def test_a_symlink_is_refused(run_dir: Path) -> None:
    (run_dir / "real").mkdir(0o700)
    (run_dir / "link").symlink_to("real")
    with pytest.raises(RunDirError, match="symlink"):
        RunDir.open(str(run_dir / "link"))


def test_a_file_in_its_place_is_refused(run_dir: Path) -> None:
    (run_dir / "file").touch()
    with pytest.raises(RunDirError):
        RunDir.open(str(run_dir / "file"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused_even_to_root(run_dir: Path) -> None:
    os.chown(run_dir, 65534, 65534)
    try:
        with pytest.raises(RunDirError, match="belongs to uid 65534"):
            RunDir.open(str(run_dir))
    finally:
        os.chown(run_dir, 0, 0)


def test_a_path_too_long_for_a_socket_says_so_with_numbers(run_dir: Path) -> None:
    deep = run_dir / ("x" * 100)
    with pytest.raises(RunDirError, match=f"{SOCKET_PATH_BYTES}"):
        RunDir.open(str(deep)).socket_path("name")


def test_the_default_never_lies_in_a_directory_that_a_logout_wipes() -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/1000", "XDG_STATE_HOME": "/home/me/state"}
    assert default_run_dir(environ) in ("/run/gatewaylock", "/home/me/state/gatewaylock")
    assert default_run_dir({"GATEWAY_RUN_DIR": "/chosen"}) == "/chosen"
