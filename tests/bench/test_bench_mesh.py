"""The measurements become a page, and come from real runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sadtalker_service.bench.cores import CoreTime, core_time, limited_to, stolen_share
from sadtalker_service.bench.machine import this_machine
from sadtalker_service.bench.memory import MemoryUse
from sadtalker_service.bench.mesh import Measured, Times
from sadtalker_service.bench.table import BEGIN, END, page, update
from sadtalker_service.errors import InvalidOption, OutputError

REPOSITORY = Path(__file__).parents[2]

MEASURED = Measured(
    case="close-up",
    video="512x512, 25 fps",
    frames=250,
    video_seconds=10.0,
    cold=Times(5.0, 6.0),
    warm=Times(2.0, 3.5),
    cached=Times(1.25, 2.4),
    writing=Times(0.8, 0.9),
    preparation=0.25,
    stages={"render": 1.0, "encode": 0.75},
    avatar_bytes=900_000,
    preview_bytes=500_000,
)


def test_the_page_says_what_was_measured() -> None:
    text = page(this_machine(), 0.25, [MEASURED], [MemoryUse(10, 300_000_000), MemoryUse(600, 340_000_000)])
    for row in (
        "| the command, fresh process | **2.0x** (5.00 s, CPU 6.00 s) |",
        "| avatar and driven audio cached | **8.0x** (1.25 s, CPU 2.40 s) |",
        "| limit: writing the same frames | **12.5x** (0.80 s, CPU 0.90 s) |",
        "| cache of an avatar | 0.9 MB |",
        "| render | 1.000 (4.00) |",
        "| encode (beside) | 0.750 (3.00) |",
        "| 600 s | 340 MB |",
    ):
        assert row in text.splitlines()
    assert this_machine().processor in text
    assert "the host took 25% of the cores' time" in text


def test_the_page_is_rewritten_between_its_marks(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        update(path, "new")
        assert path.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("mine")
    with pytest.raises(InvalidOption, match="has no lines"):
        update(path, "new")
    assert path.read_text() == "mine"
    with pytest.raises(OutputError):
        update(tmp_path / "missing.md", "new")


def test_stolen_time_is_a_share_of_the_wanted_time() -> None:
    assert stolen_share(CoreTime(1000, 10), CoreTime(2000, 260)) == 0.25
    now = core_time()
    assert 0 <= now.stolen <= now.wanted
    assert 0 <= stolen_share(now, core_time()) <= 1


def test_the_cores_are_given_back() -> None:
    before = os.sched_getaffinity(0)
    with limited_to(1):
        assert this_machine().cores == 1
    assert os.sched_getaffinity(0) == before


def test_our_page_has_the_marks() -> None:
    text = (REPOSITORY / "docs/performance.md").read_text()
    assert text.index(BEGIN) < text.index(END)


@pytest.mark.slow
def test_the_command_measures_all_cases() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "sadtalker_service", "bench", "mesh", "--repeats", "1", "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(ended.stdout)
    assert [case["video"] for case in measured["cases"]] == [
        "512x512, 25 fps",
        "480x720, 25 fps",
        "720x1080, 25 fps",
    ]
    for case in measured["cases"]:
        assert case["frames"] == 261
        assert case["writing"]["wall"] < case["warm"]["wall"] < case["cold"]["wall"]
        assert case["avatar_bytes"] + case["preview_bytes"] <= 7_000_000
