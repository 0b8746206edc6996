"""Every process of a busy service is killed with -9, one after another, and every request gets its video."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from tests.support.pattern_engine import SLOW
from tests.support.running_service import PATTERN_ENGINE, Role, RunningService, until

from sadtalker_service.media.image import encode_png

RECORDING = Path(__file__).parents[2] / "examples" / "speech.wav"
BATCH_MS = 60
"""Pause of the pattern engine after each batch of frames: a job takes a second or two."""


class Client:
    """A client that retries if the service does not answer."""

    def __init__(self, service: RunningService) -> None:
        self._http = httpx.Client(base_url=service.url, timeout=60)

    def get(self, path: str, *wanted: int) -> httpx.Response:
        """Retry until the response has one of these statuses, and return it."""
        return self._ask("GET", path, wanted)

    def upload(self, picture: bytes) -> str:
        """Upload a source image, wait until it is ready, and return its id."""
        files = {"image_file": ("face.png", picture)}
        image_id = str(self._ask("POST", "/api/avatar/upload", (200, 202), files=files).json()["image_id"])
        until(lambda: self._is_prepared(image_id), "preparation", 60)
        return image_id

    def generate(self, image_id: str, seed: int) -> str:
        """Request a video and return the session id."""
        data = {"image_id": image_id, "seed": str(SLOW + BATCH_MS), "pose_style": str(seed)}
        files = {"audio_file": ("speech.wav", RECORDING.read_bytes())}
        answer = self._ask("POST", "/api/standard/generate", (202,), data=data, files=files)
        return str(answer.json()["session_id"])

    def status(self, session_id: str) -> str:
        return str(self.get(f"/api/standard/status/{session_id}", 200).json()["status"])

    def _is_prepared(self, image_id: str) -> bool:
        return bool(self.get(f"/api/avatar/status/{image_id}", 200).json()["status"] == "ready")

    def _ask(self, method: str, path: str, wanted: tuple[int, ...], **body: object) -> httpx.Response:
        end = time.monotonic() + 120
        while True:
            try:
                answer = self._http.request(method, path, **body)
                if answer.status_code in wanted:
                    return answer
                assert answer.status_code == 503, answer.text  # the response says that it is temporary
            except httpx.TransportError:
                assert time.monotonic() < end, "the service does not answer"
            time.sleep(0.1)


@pytest.fixture
def service(data_dir: Path) -> Iterator[RunningService]:
    with RunningService(data_dir, {**PATTERN_ENGINE, "LEASE_SECONDS": "5"}) as running:
        yield running


def test_every_process_is_killed_and_every_request_gets_its_video(service: RunningService) -> None:
    client = Client(service)
    noise = np.random.default_rng(1).integers(90, 250, (96, 128, 3), dtype=np.uint8)
    image_id = client.upload(encode_png(noise))
    roles: tuple[Role, ...] = ("queue", "cache", "api", "render", "prepare")
    sessions = [client.generate(image_id, number) for number in range(len(roles))]
    for role, session_id in zip(roles, sessions, strict=True):
        until(lambda s=session_id: client.status(s) != "queued", f"start of the job for {role}", 60)  # type: ignore[misc]
        killed = service.kill(role)
        service.pid(role, other_than=killed)
    for session_id in sessions:
        until(lambda s=session_id: client.status(s) not in {"queued", "generating"}, "the end", 120)  # type: ignore[misc]
        assert client.status(session_id) == "ready"
    videos = {session_id: client.get(f"/api/standard/download/{session_id}", 200) for session_id in sessions}
    for session_id, answer in videos.items():
        path = service.data_dir / f"{session_id}.mp4"
        path.write_bytes(answer.content)
        with av.open(str(path)) as video:
            assert sum(1 for _ in video.decode(video=0)) > 25
    kept = list((service.data_dir / "artefacts" / "videos").iterdir())
    assert len(kept) == len(sessions)
    assert {hashlib.sha256(path.read_bytes()).digest() for path in kept} == {
        hashlib.sha256(answer.content).digest() for answer in videos.values()
    }
