"""The scripts in benchmarks/ can still be started: what they import is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


RECORD = """#!/bin/bash
if [[ $1 == - ]]; then cat >/dev/null; echo "$KIND"; exit; fi
printf '%s\\0' "$@" >>"$RECORDED"; echo >>"$RECORDED"
"""
"""An interpreter that notes its arguments and runs nothing."""


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_every_command_of_the_measurement_on_a_gpu_is_accepted(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from sadtalker_service.bench.sadtalker.__main__ import _parser

    python, recorded = tmp_path / "python", tmp_path / "recorded"
    python.write_text(RECORD)
    python.chmod(0o755)
    command = [str(FOLDER / "gpu.sh"), str(tmp_path / "out"), str(python)]
    environment = {**os.environ, "KIND": kind, "RECORDED": str(recorded)}
    done = subprocess.run(
        command, env=environment, cwd=FOLDER.parent, capture_output=True, text=True, timeout=60, check=False
    )
    steps = [line.partition(":")[0] for line in done.stdout.splitlines() if ": exit 0 after " in line]
    assert steps == ["checks", "frames-256", "service", "frames-512", "profile", "compiled", "page"]
    calls = [line.split("\0")[:-1] for line in recorded.read_text().splitlines()]
    assert len(calls) == len(steps)
    for arguments in calls:
        if arguments[0] == "-m":
            assert _parser().parse_args(arguments[2:]).device == kind
        else:
            assert all(
                option in (FOLDER.parent / arguments[0]).read_text() for option in options_of(arguments)
            )


def options_of(arguments: list[str]) -> list[str]:
    """The options as a script declares them."""
    return [f'"{argument}"' for argument in arguments if argument.startswith("--")]
