"""The scripts in benchmarks/ can still be started: what they import is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks"

IMPORT_ALL = """
import pathlib, runpy, sys
sys.path.insert(0, sys.argv[1])  # they import each other
for script in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    runpy.run_path(str(script), run_name=script.stem)
    print(script.name)
"""


def test_every_script_finds_what_it_imports() -> None:
    command = [sys.executable, "-c", IMPORT_ALL, str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(path.name for path in FOLDER.glob("*.py"))


def test_page_names_every_script() -> None:
    page = (FOLDER / "README.md").read_text()
    assert all(f"`{path.name}`" in page for path in FOLDER.glob("*.py"))
