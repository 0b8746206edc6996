"""The package in Python: the three lines of the README, and an import that loads nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest

import sadtalker_service
from sadtalker_service import RenderOptions, load_engine, make_video
from sadtalker_service.errors import InvalidOption, UnsupportedByEngine
from sadtalker_service.settings import Settings

REPOSITORY = Path(__file__).parents[1]
EXAMPLES = REPOSITORY / "examples"


def python(code: str, folder: Path) -> str:
    """What `code` prints, run in `folder`."""
    env = os.environ | {"DATA_DIR": str(folder / "data"), "ENGINE": "mesh"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_three_lines_of_the_readme_make_a_video(tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text()
    (block,) = re.findall(r"Or in Python:\n\n((?:    .*\n)+)", readme)
    lines = [line.strip() for line in block.splitlines()]
    assert len(lines) == 3
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    python("\n".join(lines), tmp_path)
    with av.open(str(tmp_path / "talking.mp4")) as container:
        (picture,) = container.streams.video
        assert (picture.width, picture.height, picture.frames) == (512, 512, 261)


def test_importing_the_package_loads_nothing_large(tmp_path: Path) -> None:
    heavy = ("numpy", "numba", "av", "onnxruntime", "scipy", "pydantic", "redis")
    code = f"import sys, sadtalker_service; print([name for name in {heavy} if name in sys.modules])"
    assert python(code, tmp_path).strip() == "[]"


def test_what_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'make_movie'"):
        sadtalker_service.make_movie  # noqa: B018
    assert set(sadtalker_service.__all__) >= {"RenderOptions", "load_engine", "make_video"}


def test_a_video_tells_what_it_is_and_how_far_it_is(tmp_path: Path) -> None:
    engine = load_engine("mesh", Settings(data_dir=tmp_path))
    stages: list[str] = []
    options = RenderOptions(preprocess="crop", size=128, enhancer="gfpgan")
    made = make_video(
        engine,
        EXAMPLES / "portrait.jpg",
        None,
        tmp_path / "v.mp4",
        options,
        idle_seconds=0.4,
        on_progress=lambda progress: stages.append(progress.stage),
    )
    assert (made.width, made.frames, made.engine) == (128, 10, "mesh")
    assert made.warnings == ("enhancer gfpgan was not applied: the mesh engine has none.",)
    assert stages[0] == "face_detection"
    assert stages[-1] == "render"
    assert made.size_bytes == (tmp_path / "v.mp4").stat().st_size
    assert (tmp_path / "cache").is_dir()


def test_what_cannot_be_made_is_refused_before_any_work(tmp_path: Path) -> None:
    engine, picture = load_engine("mesh", Settings(data_dir=tmp_path)), EXAMPLES / "portrait.jpg"
    with pytest.raises(InvalidOption, match="Give either"):
        make_video(engine, picture, None, tmp_path / "v.mp4")
    with pytest.raises(UnsupportedByEngine, match="does not support size 4096"):
        make_video(engine, picture, None, tmp_path / "v.mp4", RenderOptions(size=4096), idle_seconds=1.0)
    assert list(tmp_path.iterdir()) == []
