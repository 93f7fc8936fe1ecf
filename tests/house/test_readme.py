"""Everything in the README runs."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from speaking import ROOT, environment, started

from gatewaylock.core.endings import ENDINGS, ESCALATION
from gatewaylock.system.inbox import RULES
from gatewaylock.system.supervisor.table import REASONS

TEXT = (ROOT / "README.rst").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    """The blocks below ``.. code:: kind``, or below ``::``."""
    start = re.escape(f".. code:: {kind}") if kind else r".*(?<!code)::"
    found = re.findall(rf"^{start}\n\n((?:    .*\n|\n)+)", TEXT, re.MULTILINE)
    return [textwrap.dedent(block).strip() for block in found]


def test_it_has_70_to_150_lines() -> None:
    assert 70 <= len(TEXT.splitlines()) <= 150


def test_it_is_valid_restructured_text() -> None:
    core = pytest.importorskip("docutils.core")
    warnings = __import__("io").StringIO()
    core.publish_doctree(TEXT, settings_overrides={"warning_stream": warnings, "report_level": 2})
    assert warnings.getvalue() == ""


def test_the_first_example_is_a_whole_program_that_works_and_stops(run_dir: Path) -> None:
    program = blocks("python")[0]
    with started(sys.executable, "-c", program, GATEWAY_RUN_DIR=str(run_dir)) as said:
        said.hears("life 1 works")
        name = {"GATEWAY_NAME": "mybot", "GATEWAY_RUN_DIR": str(run_dir)}
        for verb in ("restart", "stop"):
            done = subprocess.run(
                [sys.executable, "-m", "gatewaylock", verb],
                env=environment(**name),
                capture_output=True,
                timeout=30,
            )
            assert done.returncode == 0, done.stderr
        assert said.ends() == 0


def test_every_line_of_the_second_python_block_works_in_a_life(run_dir: Path) -> None:
    lines = blocks("python")[1]
    ast.parse(lines)
    program = f"""
from gatewaylock import Gateway
class Server:
    def close(self, reason, *, restart_expected_ms): pass
def start(gateway):
{textwrap.indent(lines.replace("8000", "0"), "    ")}
    return Server()
raise SystemExit(Gateway(run_dir={str(run_dir)!r}).run(start))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, env=environment()
    )
    assert (done.returncode, done.stdout) == (0, "hi\n"), done.stderr


def test_the_shell_block_works_from_top_to_bottom(run_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("httpbin")
    run, *others = blocks("sh")[0].splitlines()
    (tmp_path / "gateway").write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/bin/gateway "$@"\n')
    (tmp_path / "gateway").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GATEWAY_RUN_DIR": str(run_dir)}
    with started("sh", "-c", f"exec {run}", **env) as said:
        said.hears("serving: .* address=127.0.0.1:18790")
        for line in others:
            done = subprocess.run(
                ["sh", "-c", line], capture_output=True, text=True, timeout=60, env=environment(**env)
            )
            assert done.returncode == 0, (line, done.stderr)
        assert said.ends() == 0


def test_the_first_command_sets_up_and_runs_on_a_machine_with_python_alone(
    run_dir: Path, tmp_path: Path
) -> None:
    command = blocks("")[0]
    clone = tmp_path / "clone"
    kept_out = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, clone, ignore=kept_out)
    home = {"HOME": str(tmp_path / "home"), "PYTHONPATH": "", "XDG_STATE_HOME": ""}
    (tmp_path / "home").mkdir()
    with started(
        "sh", "-c", command, cwd=clone, GATEWAY_RUN_DIR=str(run_dir), GATEWAY_BIND="127.0.0.1:0", **home
    ) as said:
        said.hears("serving: ", 240)
        assert (clone / ".venv/bin/gateway").exists()


def test_ci_runs_the_second_command() -> None:
    assert blocks("")[1].endswith(".venv/bin/python -m pytest")
    assert "README.rst" in (ROOT / ".ci/run").read_text()


def test_the_tables_say_what_the_code_does() -> None:
    rows = {line.split()[0]: line.split(maxsplit=2) for line in TEXT.splitlines() if len(line.split()) > 2}
    for rule in RULES:
        assert rows[rule.signal] == list(rule)
    for row in (*ESCALATION, *ENDINGS):
        assert re.search(r"^" + r" +".join(re.escape(cell) for cell in row) + "$", TEXT, re.MULTILINE), row


def test_the_table_of_where_the_pid_must_stay_is_the_code_s() -> None:
    for reason in REASONS:
        assert re.search(rf"^{reason.where} +{re.escape(reason.why)}$", TEXT, re.MULTILINE), reason.where


def test_the_programs_it_points_to_are_there() -> None:
    for name in re.findall(r"tests/programs/\w+\.py", TEXT):
        assert (ROOT / name).exists()
