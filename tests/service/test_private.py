"""Uploads and secrets are readable only by the service's own user."""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.support.running_service import PATTERN_ENGINE, RunningService, children, command_line, until

from sadtalker_service.media.image import encode_png

RECORDING = (Path(__file__).parents[2] / "examples" / "speech.wav").read_bytes()
KEY, SECRET = "k-of-the-cluster", "whsec_c2VjcmV0IG9mIHRoZSBzaG9w"
HEADERS = {"X-API-Key": KEY}


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    """A service that has finished a video."""
    folder = Path(tempfile.mkdtemp(prefix="st-"))  # pytest's own paths are too long for a socket
    keys = json.dumps([{"name": "cluster", "key": KEY}])
    environment = {
        **PATTERN_ENGINE,
        "API_KEYS": keys,
        "WEBHOOK_SECRET": SECRET,
        "AWS_SECRET_ACCESS_KEY": "aws",
    }
    with RunningService(folder, environment) as running:
        with httpx.Client(base_url=running.url, timeout=60, headers=HEADERS) as client:
            noise = np.random.default_rng(9).integers(90, 250, (96, 128, 3), dtype=np.uint8)
            files = {"image_file": ("face.png", encode_png(noise))}
            image_id = client.post("/api/avatar/upload", files=files).json()["image_id"]
            sound = {"audio_file": ("speech.wav", RECORDING)}
            answer = client.post("/api/vip/generate", data={"image_id": image_id}, files=sound)
            status = answer.json()["links"]["status"]
            until(lambda: client.get(status).json()["status"] == "ready", "the video", 90)
        yield running
    shutil.rmtree(folder)


def test_files_and_folders_are_private(service: RunningService) -> None:
    found = [path for path in service.data_dir.rglob("*") if path.name != "service.log"]
    kinds = {path.relative_to(service.data_dir).parts[0] for path in found}
    assert {"artefacts", "queue", "cache-server", "scratch"} <= kinds
    assert any(path.name.endswith(".mp4") for path in found)
    open_to_others = {str(path): oct(mode) for path in found if (mode := path.lstat().st_mode) & 0o077}
    assert open_to_others == {}
    for path in found:
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def environment_of(pid: int) -> str:
    """Return the environment with which a process was started."""
    return Path(f"/proc/{pid}/environ").read_bytes().replace(b"\0", b"\n").decode()


def test_processes_that_decode_uploads_get_no_secrets(service: RunningService) -> None:
    api = service.pid("api")
    assert KEY in environment_of(api)
    (inspector,) = (pid for pid in children(api) if "inspection_process" in command_line(pid))
    for pid in (inspector, service.pid("queue"), service.pid("cache")):
        names = {line.partition("=")[0] for line in environment_of(pid).splitlines()}
        assert not names & {"API_KEYS", "WEBHOOK_SECRET", "AWS_SECRET_ACCESS_KEY", "ENGINE", "DATA_DIR"}
    assert "PATH" in {line.partition("=")[0] for line in environment_of(inspector).splitlines()}
    for pid in (*service.pids("render"), *service.pids("prepare")):
        for one in (pid, *children(pid)):
            assert KEY not in environment_of(one)
            assert SECRET not in environment_of(one)


def test_no_response_names_a_folder(service: RunningService) -> None:
    with httpx.Client(base_url=service.url, timeout=60, headers=HEADERS) as client:
        for path in ("/readyz", "/", "/api/cache/stats", "/metrics", "/api/avatar", "/docs/errors"):
            answer = client.get(path, headers={"Accept": "application/json"})
            assert str(service.data_dir) not in answer.text
            assert str(Path.home()) not in answer.text
            assert answer.headers["cache-control"] == "no-store"
