"""The scripts in benchmarks/ can still be started: what they import is there."""

from __future__ import annotations

import json
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


def test_tables_of_a_gpu_show_what_there_is(tmp_path: Path) -> None:
    """A measurement that was cut has only some of the files."""
    choice = {"chosen": "fused", "milliseconds_per_frame": {"plain": 4.0, "fused": 2.5}, "unusable": {}}
    golden = {"picture largest": 3.6e-5, "picture mean": 1e-6, "held": True}
    graph = {
        "capture_seconds": 2.0,
        "gigabytes": 3.5,
        "largest_difference": 0,
        "milliseconds": {"graph": 36.0, "direct": 40.0},
    }
    found = {
        "device": "GPU",
        "torch": "2.13",
        "goldens": {"float32, fused": golden, "held": True},
        "graphs": {"16": graph},
        "passes": {"16": choice},
    }
    (tmp_path / "checks.json").write_text(json.dumps(found))
    together = {"requests": 16, "seconds": 5.5, "frames_per_second": 363.0}
    service = {"workers": 4, "new_audio_median": 0.45, "at_once": together}
    (tmp_path / "service.json").write_text(json.dumps(service))
    command = [sys.executable, str(FOLDER / "gpu_page.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    for line in (
        "| golden frame of 256, float32, fused: largest / mean difference | 3.6e-05 / 1.0e-06, held |",
        "| passes, batch 16, ms per frame without a graph | plain 4.00, fused 2.50: fused chosen |",
        "| a clip, new audio, known avatar, through the service | 0.45 s |",
        "| 16 clips at once, 4 workers | 5.5 s, 363 frames/s in all |",
        "Not measured: compiled, frames-256, frames-512.",
    ):
        assert line in done.stdout.splitlines()
