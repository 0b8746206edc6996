"""The commands of the SadTalker microservice's guide, byte for byte, on the service with its defaults.

Only placeholders of the guide are replaced: `abc123` and `sess456` by the returned ids, and the files
`your_photo.jpg` and `your_audio.wav` by the examples.
"""

from __future__ import annotations

import json
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tests.support.running_service import RunningService
from tests.support.shell import Shell

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

UPLOAD = r"""curl -X POST "http://localhost:8000/api/avatar/upload" \
  -H "Content-Type: multipart/form-data" \
  -F "image_file=@your_photo.jpg" \
  -F "preprocess_mode=full"
"""
AVATAR_STATUS = """curl "http://localhost:8000/api/avatar/status/abc123"
"""
GENERATE = r"""curl -X POST "http://localhost:8000/api/vip/generate" \
  -H "Content-Type: multipart/form-data" \
  -F "image_id=abc123" \
  -F "audio_file=@your_audio.wav" \
  -F "enhancer=gfpgan" \
  -F "quality=medium"
"""
STATUS = """curl "http://localhost:8000/api/vip/status/sess456"
"""
DOWNLOAD = r"""curl "http://localhost:8000/api/vip/download/sess456" \
  --output generated_video.mp4
"""
STATISTICS = """curl "http://localhost:8000/api/cache/stats"
"""
TROUBLESHOOTING = """curl localhost:8000/api/cache/stats
"""
SERVICE_STATUS = """curl localhost:8000/
"""
HIT_RATE = """curl localhost:8000/api/cache/stats | jq '.performance.cache_hit_rate'
"""
QUEUE_STATUS = """curl localhost:8000/api/cache/stats | jq '.queue_status'
"""
WAIT_SECONDS = 120


class Guide:
    """Runs the commands of the guide in order."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.image_id = self.session_id = ""
        self.uploaded = self.read(UPLOAD)
        self.image_id = self.uploaded["image_id"]
        self.avatar = self.wait(AVATAR_STATUS)
        self.asked = self.read(GENERATE)
        self.session_id = self.asked["session_id"]
        self.finished = self.wait(STATUS)
        self.run(DOWNLOAD)
        self.video = shell.folder / "generated_video.mp4"

    def run(self, command: str) -> str:
        """Run a command of the guide and return its output."""
        return self.shell.run(command.replace("abc123", self.image_id).replace("sess456", self.session_id))

    def read(self, command: str) -> Any:
        """Run a command and return its JSON output."""
        return json.loads(self.run(command))

    def wait(self, command: str) -> Any:
        """Poll until the state is `ready`."""
        until = time.monotonic() + WAIT_SECONDS
        while (answer := self.read(command))["status"] != "ready":
            assert answer["status"] in {"processing", "queued", "generating"}, answer
            assert time.monotonic() < until
            time.sleep(0.3)
        return answer


@pytest.fixture(scope="module")
def guide(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Guide:
    folder = tmp_path_factory.mktemp("walk")
    with Image.open(EXAMPLES / "portrait.jpg") as photo:
        ImageOps.mirror(photo).save(
            folder / "your_photo.jpg"
        )  # no other test uploads this image to the service
    shutil.copy(EXAMPLES / "speech.wav", folder / "your_audio.wav")
    return Guide(Shell(folder, service.url))


def test_upload_returns_at_once_with_the_field_names_of_the_guide(guide: Guide) -> None:
    assert len(guide.uploaded["image_id"]) == 64
    assert guide.uploaded["status"] == "processing"
    assert guide.uploaded["preprocess_mode"] == "full"
    assert guide.uploaded["estimated_time"]
    assert guide.uploaded["message"]


def test_avatar_becomes_ready_with_an_estimate(guide: Guide) -> None:
    assert guide.avatar["image_id"] == guide.image_id
    assert guide.avatar["performance_ready"].keys() >= {"generation_time", "speedup"}
    assert guide.avatar["performance_ready"]["ready_for_vip"] is True


def test_request_is_queued_with_warnings_for_ignored_options(guide: Guide) -> None:
    assert guide.asked["status"] in {"queued", "generating"}
    assert guide.asked["estimated_time"]
    assert guide.asked["performance_boost"]
    assert any("gfpgan" in warning for warning in guide.asked["warnings"])


def test_finished_session_reports_its_performance(guide: Guide) -> None:
    finished = guide.finished
    assert finished["video_ready"] is True
    assert finished["download_url"] == f"/api/vip/download/{guide.session_id}"
    performance = finished["performance"]
    measured = performance["seconds"]["total_time"]
    assert 0 < measured < WAIT_SECONDS
    assert float(performance["total_time"].removesuffix("s")) == pytest.approx(measured, abs=0.001)
    said = float(performance["speedup"].removesuffix("x faster"))
    assert said == pytest.approx(performance["speedup_factor"], abs=0.051 if said < 100 else 0.51)


def test_download_is_a_video_of_the_source_image_speaking_the_audio(guide: Guide) -> None:
    with av.open(str(guide.video)) as video:
        frames = [frame.to_ndarray(format="gray")[::4, ::4] for frame in video.decode(video=0)]
    with av.open(str(guide.video)) as video:
        sound = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in video.decode(audio=0)])
        rate = video.streams.audio[0].rate
    with av.open(str(EXAMPLES / "speech.wav")) as recording:
        given = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in recording.decode(audio=0)])
        seconds = len(given) / recording.streams.audio[0].rate
    assert len(frames) / 25 == pytest.approx(seconds, abs=0.1)
    assert len(sound) / rate == pytest.approx(seconds, abs=0.2)
    assert np.abs(sound).max() > 0.05
    assert motion(frames) > 0.5, "nothing moves"


def motion(frames: list[NDArray[np.uint8]]) -> float:
    """Return the mean absolute change between frames where it is largest, 0..255."""
    steps = [np.abs(later.astype(np.int16) - earlier) for earlier, later in pairwise(frames)]
    return float(np.mean(steps, axis=0).max())


def test_statistics_have_the_fields_of_the_guide(guide: Guide) -> None:
    for command in (STATISTICS, TROUBLESHOOTING):
        answer = guide.read(command)
        cached = answer["cache_statistics"]["cached_data"]
        assert cached["3dmm_coeffs"] >= 1
        assert cached["face_crop"] >= 1
        assert cached["gestures"] >= 0
        assert 0 <= answer["cache_statistics"]["performance"]["cache_hit_rate"] <= 100
        assert answer["performance_summary"]["average_speedup"]


def test_hit_rate_matches_the_counts(guide: Guide) -> None:
    counted, said = lookups(guide), guide.run(HIT_RATE)
    while counted != (later := lookups(guide)):  # previews may still be in progress
        counted, said = later, guide.run(HIT_RATE)
    hits, misses = sum(kind["hits"] for kind in counted), sum(kind["misses"] for kind in counted)
    assert hits > 0
    assert misses > 0
    assert float(said) == pytest.approx(100 * hits / (hits + misses), abs=0.06)


def lookups(guide: Guide) -> list[Any]:
    """Return the hits and misses of every kind of artefact."""
    return list(guide.read(STATISTICS)["cache_statistics"]["requests"].values())


def test_queue_status_is_reported(guide: Guide) -> None:
    answer = guide.read(QUEUE_STATUS)
    assert answer.keys() >= {"queue_size", "processing", "current_session"}
    assert isinstance(answer["queue_size"], int)


def test_front_page_reports_that_the_service_runs(guide: Guide) -> None:
    answer = guide.read(SERVICE_STATUS)
    assert answer["status"] == "running"
    assert answer["cache_status"]["redis_connected"] is True
    assert answer["cache_status"]["total_cached_images"] >= 1
    assert answer.keys() >= {"service", "version", "performance", "queue_status", "endpoints"}


def test_repeated_commands_are_answered_from_the_cache(guide: Guide) -> None:
    again = guide.read(UPLOAD)
    assert again["status"] == "already_processed"
    assert again["image_id"] == guide.image_id
    answer = guide.read(GENERATE)
    assert answer["status"] == "ready"
    assert answer["performance"]["speedup_factor"] > 2
    assert (
        float(answer["performance"]["total_time"].removesuffix("s"))
        < guide.finished["performance"]["seconds"]["total_time"]
    )
