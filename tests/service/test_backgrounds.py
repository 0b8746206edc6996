"""Backgrounds by HTTP and by the commands, with a real worker."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.service.test_spoken_videos import a_second_of_speech, made
from tests.support import bad_media as bad
from tests.support.manifests import manifest_of
from tests.support.running_service import RunningService

FIELDS = {"enhancer": "none", "preprocess_mode": "crop", "size": "256", "quality": "low"}
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def client(service: RunningService) -> httpx.Client:
    return httpx.Client(base_url=service.url, timeout=60)


@pytest.fixture(scope="module")
def image_id(client: httpx.Client) -> str:
    upload = client.post("/api/avatar/upload", files={"image_file": ("me.jpg", bad.SOURCE_IMAGE)})
    return str(upload.raise_for_status().json()["image_id"])


def asked(client: httpx.Client, image_id: str, picture: bytes | None = None, **fields: str) -> httpx.Response:
    files = {"audio_file": ("a.wav", a_second_of_speech())}
    if picture is not None:
        files["background_file"] = ("b.png", picture)
    return client.post("/api/vip/generate", data={"image_id": image_id, **FIELDS, **fields}, files=files)


def first_frame(data: bytes) -> NDArray[np.uint8]:
    with av.open(io.BytesIO(data)) as container:
        return np.asarray(next(container.decode(video=0)).to_ndarray(format="rgb24"), np.uint8)


def is_near(frame: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    """Whether the corner of a decoded frame has this colour."""
    return bool(np.abs(frame[4, 4].astype(int) - colour).max() < 8)


def png(colour: tuple[int, int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return file.getvalue()


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_picture_is_shown_behind_the_person_once_for_each_picture(
    client: httpx.Client, image_id: str
) -> None:
    first = asked(client, image_id, png((200, 30, 30)))
    status = made(client, first)
    assert status["status"] == "ready", status
    video = client.get(status["download_url"])
    assert is_near(first_frame(video.content), (200, 30, 30))
    assert manifest_of(video.content)["validation_state"] == "Valid"
    again = asked(client, image_id, png((200, 30, 30)))
    assert (again.status_code, again.json()["status"]) == (200, "ready")
    other = made(client, asked(client, image_id, png((30, 30, 200))))
    assert "person_matte" in other["performance"]["cache_hits"]
    assert (
        np.abs(first_frame(client.get(other["download_url"]).content)[4, 4].astype(int) - (30, 30, 200)).max()
        < 8
    )


def test_a_transparent_video_is_downloaded_as_webm_and_has_no_stream(
    client: httpx.Client, image_id: str
) -> None:
    answer = asked(client, image_id, background="transparent")
    links = answer.raise_for_status().json()["links"]
    assert links["stream"] is None
    stream = client.get(f"/api/vip/stream/{answer.json()['session_id']}")
    assert (stream.status_code, stream.json()["error"]["code"]) == (409, "no_stream")
    status = made(client, answer)
    assert status["video"]["media_type"] == "video/webm"
    video = client.get(status["download_url"])
    assert video.headers["content-type"] == "video/webm"
    assert video.headers["content-disposition"].endswith('.webm"')
    with av.open(io.BytesIO(video.content)) as container:
        assert container.streams.video[0].metadata["alpha_mode"] == "1"
        assert {k.lower(): v for k, v in container.metadata.items()}["comment"].startswith("Synthetic media")


def test_wrong_backgrounds_are_refused_at_once(client: httpx.Client, image_id: str) -> None:
    assert refused(asked(client, image_id, b"no picture")) == (400, "unreadable_image", "background_file")
    assert refused(asked(client, image_id, background="a" * 64)) == (422, "invalid_option", "background")
    assert refused(asked(client, image_id, background="sky")) == (422, "invalid_option", "background")
    assert refused(asked(client, image_id, format="webm")) == (422, "invalid_option", "format")


def test_a_person_that_cannot_be_cut_out_fails_with_the_reason(client: httpx.Client) -> None:
    """Noise around the oval of the face."""
    pixels = np.asarray(Image.open(EXAMPLES / "portrait.jpg").convert("RGB"))
    y, x = np.mgrid[:512, :512]
    face = ((x - 225) / 46) ** 2 + ((y - 124) / 54) ** 2 < 1
    noise = np.random.default_rng(2).integers(0, 255, pixels.shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.where(face[..., None], pixels, noise)).save(file, "PNG")
    upload = client.post("/api/avatar/upload", files={"image_file": ("me.png", file.getvalue())})
    image_id = upload.raise_for_status().json()["image_id"]
    status = made(client, asked(client, image_id, background="#000000"))
    assert status["status"] == "failed"
    assert status["error"]["code"] == "person_not_separable"
    assert status["error"]["param"] == "background"


def test_the_remote_command_sends_a_picture(service: RunningService, tmp_path: Path) -> None:
    (tmp_path / "sky.png").write_bytes(png((90, 160, 240)))
    (tmp_path / "a.wav").write_bytes(a_second_of_speech())
    command = [
        *(sys.executable, "-m", "sadtalker_service", "remote", "generate", "--url", service.url),
        *("--source_image", str(EXAMPLES / "portrait.jpg"), "--driven_audio", "a.wav"),
        *("--preprocess", "crop", "--size", "256", "--background", "sky.png", "--output", "v.mp4"),
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert is_near(first_frame((tmp_path / "v.mp4").read_bytes()), (90, 160, 240))


def test_commands_name_the_format(service: RunningService, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(a_second_of_speech())
    command = [
        *(sys.executable, "-m", "sadtalker_service", "remote", "generate", "--url", service.url),
        *("--source_image", str(EXAMPLES / "portrait.jpg"), "--driven_audio", "a.wav"),
        *("--background", "transparent", "--output", "v.mp4"),
    ]
    wrong = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "v.mp4 must end in .webm" in wrong.stderr
