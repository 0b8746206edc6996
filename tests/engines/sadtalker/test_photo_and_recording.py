"""The SadTalker engine renders a video from a source image and driven audio, by command line and by service.

The checkpoints are synthetic, so the drawn area is not a face. The background, the length and the audio are
the same as with real ones.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image
from tests.support.running_service import RunningService, command_line, until

pytest.importorskip("torch")

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PATIENCE = 240


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="st-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def recording(folder: Path) -> Path:
    return spoken(folder / "short.wav", 0.09)


@pytest.fixture(scope="module")
def environment(checkpoints: Path, folder: Path) -> Mapping[str, str]:
    return {
        "ENGINE": "sadtalker",
        "SADTALKER_CHECKPOINTS_PATH": str(checkpoints),
        "SADTALKER_DEVICE": "cpu",
        "DATA_DIR": str(folder),
    }


def spoken(path: Path, seconds: float, start: float = 1.0) -> Path:
    """A piece of the example audio."""
    with wave.open(str(EXAMPLES / "speech.wav")) as whole, wave.open(str(path), "wb") as piece:
        rate = whole.getframerate()
        piece.setparams(whole.getparams())
        whole.setpos(round(start * rate))
        piece.writeframes(whole.readframes(round(seconds * rate)))
    return path


def generate(environment: Mapping[str, str], *arguments: object) -> dict[str, Any]:
    """The report of `sadtalker generate`."""
    command = [sys.executable, "-m", "sadtalker_service", "generate", "--json", *map(str, arguments)]
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def service(environment: Mapping[str, str], folder: Path) -> Iterator[RunningService]:
    with RunningService(folder / "s", environment, workers=2) as running:
        yield running


def test_command_line(environment: Mapping[str, str], service: RunningService, folder: Path) -> None:
    """One frame. Uses the networks of the service, so they do not load twice."""
    output, recording = folder / "talking.mp4", spoken(folder / "frame.wav", 0.04)
    source_image = EXAMPLES / "portrait.jpg"
    arguments = (
        "--source_image",
        source_image,
        "--driven_audio",
        recording,
        "--preprocess",
        "full",
        "--still",
        "--quality",
        "high",  # the only frame is a key frame, which x264 draws coarsely otherwise
    )
    there = {**environment, "SADTALKER_INFERENCE": str(service.data_dir / "run" / "inference.sock")}
    report = generate(there, *arguments, "--output", output)
    assert report["engine"] == "sadtalker"
    assert (report["frames"], report["fps"]) == (1, 25)
    check(output.read_bytes(), frames=1, seconds=0.04)


def test_service(service: RunningService, recording: Path) -> None:
    """Two workers share one set of networks."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        source_image = {"image_file": ("me.jpg", (EXAMPLES / "portrait.jpg").read_bytes())}
        image_id = client.post("/api/avatar/upload", files=source_image).raise_for_status().json()["image_id"]
        spec = {"image_id": image_id, "preprocess_mode": "full", "enhancer": "none"}
        sound = {"audio_file": ("short.wav", recording.read_bytes())}
        drawn = frames_drawn(client)
        asked = client.post("/api/vip/generate", data=spec, files=sound).raise_for_status().json()
        session = ended(client, asked["session_id"])
        assert session["status"] == "ready", session
        video = client.get(session["download_url"]).raise_for_status().content
        check(video, frames=2, seconds=0.09)
        again = client.post("/api/vip/generate", data=spec, files=sound).raise_for_status().json()
        assert again["status"] == "ready"
        until(lambda: frames_drawn(client) >= drawn + 2, "its frames are counted")
        assert frames_drawn(client) == drawn + 2
        wrong = client.post("/api/vip/generate", data={**spec, "size": "300"}, files=sound)
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (422, "size")
    with_networks = [command_line(pid) for pid in service.all_processes() if has_torch(pid)]
    assert [("inference" in line, "worker" in line) for line in with_networks] == [(True, False)]


def frames_drawn(client: httpx.Client) -> float:
    """Number of frames drawn by the inference server so far."""
    found = re.search(r"^sadtalker_inference_frames_total (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def has_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def ended(client: httpx.Client, session_id: str) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        status: dict[str, Any] = client.get(f"/api/vip/status/{session_id}").raise_for_status().json()
        if status["status"] not in {"queued", "generating"}:
            return status
        time.sleep(0.2)
    raise AssertionError(f"still not ready: {status}")


def check(video: bytes, *, frames: int, seconds: float) -> None:
    """The background is the source image, the face differs from it, and the audio has its full length."""
    with av.open(io.BytesIO(video)) as container:
        pictures = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    with av.open(io.BytesIO(video)) as container:
        sound = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)])
        rate = container.streams.audio[0].rate
        assert container.streams.video[0].start_time in {0, None}
        assert container.streams.audio[0].start_time in {0, None}
    photo = np.asarray(Image.open(EXAMPLES / "portrait.jpg").convert("RGB")).astype(int)
    assert [picture.shape for picture in pictures] == [photo.shape] * frames
    assert all(np.abs(one - other).max() > 20 for one, other in pairwise(pictures)), "it moves"
    for picture in pictures:
        assert np.abs(picture[300:] - photo[300:]).mean() < 4, "nothing changes below the face"
        assert np.abs(picture[60:180, 180:280] - photo[60:180, 180:280]).mean() > 20, "the face is drawn"
    assert len(sound) / rate == pytest.approx(seconds, abs=0.06)
    assert np.abs(sound).max() > 0.02


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_does_not_grow_with_the_video_length(environment: Mapping[str, str], folder: Path) -> None:
    """Compares memory at a quarter of the run, when all parts are working, with memory at the end. Both come
    from one run, because the overlap of the parts changes memory by hundreds of megabytes between runs."""
    speech = spoken(folder / "long.wav", 1.6)
    files = ("--source_image", EXAMPLES / "portrait.jpg", "--driven_audio", speech)
    command = [sys.executable, "-m", "sadtalker_service", "generate", *map(str, files)]
    peaks = []
    with subprocess.Popen(
        [*command, "--output", str(folder / "long.mp4")],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None:
            with suppress(OSError, StopIteration):  # it ends
                peaks.append(peak_memory(process.pid))
            time.sleep(0.5)
    assert process.returncode == 0
    assert peaks[-1] < peaks[len(peaks) // 4] + 150, f"MB: {peaks[:: max(1, len(peaks) // 20)]}"


def peak_memory(pid: int) -> float:
    """Peak memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000
