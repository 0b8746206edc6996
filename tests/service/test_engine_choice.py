"""A request names its engine, and that engine's options reach it through HTTP, queue and worker."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
from tests.support.reference_videos import grey_video
from tests.support.running_api import audio_bytes, image_bytes
from tests.support.running_service import PATTERN_ENGINE, RunningService

from sadtalker_service.errors import without_folders

AROUND, PATCH = np.s_[0:30, 0:20], np.s_[60:120, 80:160]
"""Regions of a video of 256 x 192: one that the pattern engines leave unchanged, and one that they draw."""


class Client:
    """Requests videos of one source image."""

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self.http = httpx.Client(base_url=service.url, timeout=30)
        source_image = {"image_file": ("me.png", image_bytes(5, (256, 192)), "image/png")}
        self.image_id = self.http.post("/api/avatar/upload", files=source_image).json()["image_id"]

    def ask(self, files: dict[str, Path] | None = None, seed: int = 0, **fields: str) -> httpx.Response:
        """Request a video with these reference videos."""
        sent: dict[str, Any] = {"audio_file": ("a.wav", audio_bytes(seed), "audio/wav")}
        sent |= {name: (path.name, path.read_bytes(), "video/mp4") for name, path in (files or {}).items()}
        data = {"image_id": self.image_id, "enhancer": "none", **fields}
        return self.http.post("/api/vip/generate", files=sent, data=data)

    def ended(self, files: dict[str, Path] | None = None, seed: int = 0, **fields: str) -> dict[str, Any]:
        """Request a video and return the state of the ended session."""
        answer = self.ask(files, seed, **fields)
        assert answer.status_code in {200, 202}, answer.text
        session_id = answer.json()["session_id"]
        for _ in range(600):
            state: dict[str, Any] = self.http.get(f"/api/vip/status/{session_id}").json()
            if state["status"] in {"ready", "failed"}:
                return state
            time.sleep(0.1)
        raise AssertionError(f"it does not end\n{self.service.log[-4000:]}")

    def mean(self, state: dict[str, Any]) -> tuple[float, float]:
        """Return the brightness of a finished video, around the patch and in it."""
        data = self.http.get(state["download_url"]).content
        with av.open(io.BytesIO(data)) as video:
            frames = np.stack([frame.to_ndarray(format="gray") for frame in video.decode(video=0)])
        assert frames.shape[1:] == (192, 256)
        return float(frames[:, *AROUND].mean()), float(frames[:, *PATCH].mean())


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of a service with the pattern engine as default, on a machine without checkpoints."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    with RunningService(
        folder, {**PATTERN_ENGINE, "SADTALKER_CHECKPOINTS_PATH": str(folder / "none")}
    ) as service:
        yield Client(service)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grey_video(tmp_path_factory.mktemp("reference") / "grey.mp4", 200)


def test_engines_and_the_obstacles_of_others_are_listed(client: Client) -> None:
    ready = client.http.get("/readyz").json()
    assert ready["status"] == "ready"
    engines = ready["checks"]["engines"]
    assert (engines["ok"], engines["required"]) == (True, False)
    names, reason = engines["detail"].split("; ", 1)
    assert {"mesh", "pattern (default)", "sketch"} <= set(names.split(", "))
    assert reason.startswith("sadtalker cannot run here: ")
    assert "SadTalker_V0.0.2_256.safetensors" in reason
    events = [json.loads(line) for line in client.service.log.splitlines() if line.startswith("{")]
    told = [event for event in events if event["event"] == "engine_unavailable"]
    assert {(event["engine"], event["level"]) for event in told} == {("sadtalker", "info")}
    # the log names the folder, the response does not
    assert all(f"sadtalker cannot run here: {without_folders(event['reason'])}" == reason for event in told)


def test_engine_that_cannot_run_is_refused_with_the_reason(client: Client) -> None:
    error = client.ask(engine="sadtalker").json()["error"]
    assert error["param"] == "engine"
    assert "sadtalker models download" in error["message"]
    unknown = client.ask(engine="dream").json()["error"]
    assert "Use one of: broken, deadly, mesh, pattern, sketch" in unknown["message"]


def test_request_without_an_engine_gets_the_default_one(client: Client) -> None:
    state = client.ended(seed=1)
    assert state["performance"]["cache_misses"].count("motion") == 1
    refused = client.ask({"ref_pose": Path(__file__)}, seed=1)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "unsupported_by_engine")


def test_reference_video_is_read_once_and_visible_in_the_video(client: Client, grey: Path) -> None:
    plain = client.ended(engine="sketch")
    first = client.ended({"ref_pose": grey, "ref_eyeblink": grey}, engine="sketch")
    assert first["performance"]["cache_misses"] == ["reference"]
    assert "reference_motion" in first["performance"]["seconds"]
    again = client.ended({"ref_pose": grey}, 1, engine="sketch")
    assert "reference" in again["performance"]["cache_hits"]
    # each reference video makes the patch brighter by a quarter of its mean
    of_plain, of_first = client.mean(plain)[1], client.mean(first)[1]
    assert of_first - of_plain == pytest.approx(100, abs=12)
    assert client.mean(again)[1] - of_plain == pytest.approx(50, abs=12)
    loads = [line for line in client.service.log.splitlines() if "engine_warm" in line]
    assert len(loads) == 1  # on first use


def test_supported_enhancers_are_applied(client: Client) -> None:
    state = client.ended(engine="sketch", enhancer="gfpgan", background_enhancer="realesrgan")
    assert state["warnings"] == []
    around, patch = client.mean(state)
    assert max(around, patch) < 20
    face = client.ended(engine="sketch", enhancer="gfpgan")
    around, patch = client.mean(face)
    assert around > 90
    assert patch < 20


def test_size_defaults_to_that_of_the_engine(client: Client) -> None:
    own = client.ended(engine="sketch", seed=2)
    assert "face_mesh" in own["performance"]["cache_hits"]
    larger = client.ended(engine="sketch", seed=2, size="512")
    assert larger["performance"]["cache_misses"] == ["face_mesh_512"]
    refused = client.ask(engine="sketch", size="300")
    assert refused.status_code == 422
    assert "Supported: 256, 512" in refused.json()["error"]["message"]


def test_invalid_reference_video_fails_the_session(client: Client, tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("no video")
    state = client.ended({"ref_pose": tmp_path / "words.mp4"}, engine="sketch")
    assert (state["status"], state["error"]["code"]) == ("failed", "unreadable_video")


def test_deletion_removes_the_artefacts_of_all_engines_and_sizes(client: Client) -> None:
    client.ended(engine="sketch", size="512", seed=3)
    stats = client.http.get("/api/cache/stats").json()["cache_statistics"]["cached_data"]
    assert stats["face_mesh_512"] == 1
    assert stats["face_mesh"] >= 2  # from both engines
    assert client.http.delete(f"/api/avatar/{client.image_id}").status_code in {200, 204}
    stats = client.http.get("/api/cache/stats").json()["cache_statistics"]["cached_data"]
    assert (stats.get("face_mesh_512", 0), stats["face_mesh"], stats["face_detection"]) == (0, 0, 0)
