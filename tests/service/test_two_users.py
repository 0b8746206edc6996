"""Concurrent sessions never mix their faces, as the pixels of the finished videos show."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
USERS = 6
"""Half of them upload the original source image, half a mirrored one in other colours."""


def source_images() -> tuple[bytes, bytes]:
    picture = Image.open(EXAMPLES / "portrait.jpg").convert("RGB")
    red, green, blue = ImageOps.mirror(picture).split()
    other = io.BytesIO()
    Image.merge("RGB", (blue, red, green)).save(other, "PNG")
    return (EXAMPLES / "portrait.jpg").read_bytes(), other.getvalue()


def video_of(url: str, source_image: bytes, user: int) -> bytes:
    """One user: upload, request a video, wait, download."""
    lane = ("vip", "standard")[user // 2 % 2]
    with httpx.Client(base_url=url, timeout=60) as client:
        upload = client.post("/api/avatar/upload", files={"image_file": ("me", source_image)})
        upload.raise_for_status()
        answer = client.post(
            f"/api/{lane}/generate",
            data={"image_id": upload.json()["image_id"], "enhancer": "none", "seed": str(user)},
            files={"audio_file": ("speech.wav", (EXAMPLES / "speech.wav").read_bytes())},
        )
        answer.raise_for_status()
        session = wait(client, lane, answer.json()["session_id"])
        assert session["status"] == "ready", session
        return client.get(session["download_url"]).raise_for_status().content


def wait(client: httpx.Client, lane: str, session_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        status: dict[str, Any] = client.get(f"/api/{lane}/status/{session_id}").raise_for_status().json()
        if status["status"] not in {"queued", "generating"}:
            return status
        time.sleep(0.1)
    raise AssertionError(f"still not ready: {status}")


def some_frames(video: bytes) -> list[NDArray[np.float32]]:
    with av.open(io.BytesIO(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [frame.astype(np.float32) for frame in frames[:: len(frames) // 8]]


def test_concurrent_sessions_never_share_a_face(service: Any) -> None:
    both = source_images()
    with ThreadPoolExecutor(USERS) as users:
        videos = list(users.map(lambda user: video_of(service.url, both[user % 2], user), range(USERS)))
    for user, video in enumerate(videos):
        frames = some_frames(video)
        height, width = frames[0].shape[:2]
        mine, theirs = (
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((width, height)), np.float32)
            for data in (both[user % 2], both[1 - user % 2])
        )
        for frame in frames:
            from_mine, from_theirs = np.abs(frame - mine).mean(), np.abs(frame - theirs).mean()
            assert from_mine < 8, (user, from_mine, from_theirs)
            assert from_theirs > 30, (user, from_mine, from_theirs)
