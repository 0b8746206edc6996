"""The example of an engine is installed by pip, found by its entry point, and makes a video."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from sadtalker_service.media.audio import decode_speech

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the example in it."""
    folder = tmp_path_factory.mktemp("example")
    source = shutil.copytree(EXAMPLES / "engine", folder / "source")  # building leaves files there
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    pip += ["--no-index", "--disable-pip-version-check", "--target", str(folder / "site"), str(source)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "site"


def test_the_installed_example_makes_a_video_whose_mouth_follows_the_sound(
    site: Path, tmp_path: Path
) -> None:
    speech, video = EXAMPLES / "speech.wav", tmp_path / "v.mp4"
    command = [sys.executable, "-m", "sadtalker_service", "generate", "--engine", "drawn", "--json"]
    command += ["--source_image", str(EXAMPLES / "portrait.jpg"), "--driven_audio", str(speech)]
    env = os.environ | {"PYTHONPATH": str(site), "DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [*command, "--output", str(video)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["engine"], report["width"], report["height"], report["fps"]) == ("drawn", 512, 512, 25)
    with av.open(str(video)) as container:
        frames = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])
    sound = decode_speech(speech, max_bytes=10**7, max_seconds=60)
    assert len(frames) == report["frames"] == round(sound.duration * 25)
    moving = frames[:, frames.astype(float).std(axis=0) > 5].astype(float)
    assert 100 < moving.shape[1] < 20_000, "the mouth, and nothing else"
    loudness = np.sqrt((sound.samples[: len(frames) * 640].reshape(-1, 640) ** 2).mean(axis=1))
    darkness = -moving.mean(axis=1)[: len(loudness)]
    assert np.corrcoef(darkness, loudness)[0, 1] > 0.8
