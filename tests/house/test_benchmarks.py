"""The benchmarks, which no run of the tests plays, find what they import: also where they do so late."""

from __future__ import annotations

import re
import subprocess
import sys

from speaking import ROOT, environment

FINDS = """
import ast, importlib, sys
for name in sys.argv[1:]:
    room = importlib.import_module(f"tests.benchmarks.{name}")
    for node in ast.walk(ast.parse(open(room.__file__).read())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            module = importlib.import_module(node.module)
            for alias in node.names:
                hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
print("found")
"""


def test_every_benchmark_that_the_readme_names_finds_its_imports() -> None:
    text = (ROOT / "README.rst").read_text().partition("tests.benchmarks.NAME")[2]
    names = re.findall(r"``(\w+)``", text.partition("``tests/")[0])
    files = {path.stem for path in (ROOT / "tests" / "benchmarks").glob("*.py")}
    assert set(names) == files - {"gwbench_gatewaylock"}  # of another harness
    done = subprocess.run(
        [sys.executable, "-c", FINDS, *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
    assert done.stdout == "found\n", done.stderr
