"""Uploads are looked at in a child process: what it finds, what it refuses, and what it dies of."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.source_images import save_video

from sadtalker_service.domain import SoundReading
from sadtalker_service.errors import (
    AudioTooLarge,
    EmptyAudio,
    ImageTooLarge,
    UnreadableAudio,
    UnreadableImage,
)
from sadtalker_service.media.inspection import AudioFacts, ImageFacts, Inspector, Limits

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMITS = Limits(
    max_image_bytes=2_000_000, max_image_pixels=2_000_000, max_audio_bytes=50_000_000, max_audio_seconds=600.0
)


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    inspector = Inspector(LIMITS)
    inspector.start()
    yield inspector
    inspector.close()


def children() -> set[int]:
    """Ids of this process's children, whichever thread started them."""
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for path in lists for pid in path.read_text().split()}


def recording(path: Path, seconds: float, rate: int = 8000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.zeros(round(seconds * rate), "<i2").tobytes())
    return path


def picture(path: Path, size: tuple[int, int] = (120, 80), **options: object) -> Path:
    Image.new("RGB", size, (200, 150, 120)).save(path, **options)
    return path


def test_a_picture_is_measured(inspector: Inspector) -> None:
    assert inspector.inspect_image(EXAMPLES / "portrait.jpg").result(30) == ImageFacts(512, 512, "image/jpeg")


@pytest.mark.parametrize(
    ("suffix", "media_type"),
    [
        ("png", "image/png"),
        ("webp", "image/webp"),
        ("gif", "image/gif"),
        ("bmp", "image/bmp"),
        ("tiff", "image/tiff"),
    ],
)
def test_the_kind_of_a_picture_is_what_its_bytes_say(
    inspector: Inspector, tmp_path: Path, suffix: str, media_type: str
) -> None:
    path = picture(tmp_path / f"p.{suffix}").rename(tmp_path / "p.jpg")
    assert inspector.inspect_image(path).result(30) == ImageFacts(120, 80, media_type)


def test_a_picture_is_measured_upright(inspector: Inspector, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = picture(tmp_path / "p.jpg", exif=exif)
    assert inspector.inspect_image(path).result(30) == ImageFacts(80, 120, "image/jpeg")


def test_a_recording_is_measured(inspector: Inspector) -> None:
    facts = inspector.inspect_audio(EXAMPLES / "speech.wav").result(30)
    assert facts.seconds == pytest.approx(10.42, abs=0.01)
    assert facts.media_type == "audio/wav"


def test_asyncio_can_wait_for_it(inspector: Inspector, tmp_path: Path) -> None:
    async def both() -> tuple[ImageFacts, AudioFacts]:
        image = asyncio.wrap_future(inspector.inspect_image(picture(tmp_path / "p.png")))
        audio = asyncio.wrap_future(inspector.inspect_audio(recording(tmp_path / "r.wav", 1.0)))
        return await image, await audio

    assert asyncio.run(both()) == (
        ImageFacts(120, 80, "image/png"),
        AudioFacts(1.0, "audio/wav", reading=SoundReading()),
    )


def test_a_damaged_picture_is_refused(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "upload-1234"
    path.write_bytes((EXAMPLES / "portrait.jpg").read_bytes()[:5000])
    with pytest.raises(UnreadableImage, match="damaged") as caught:
        inspector.inspect_image(path).result(30)
    assert caught.value.param == "source_image"


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7 nothing to see", b"\x00" * 1000])
def test_what_is_no_media_file_is_refused(inspector: Inspector, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "upload-1234"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage):
        inspector.inspect_image(path).result(30)
    with pytest.raises((UnreadableAudio, EmptyAudio)) as caught:
        inspector.inspect_audio(path).result(30)
    assert "upload-1234" not in caught.value.message
    assert caught.value.param == "driven_audio"


def test_limits_hold(inspector: Inspector, tmp_path: Path) -> None:
    with pytest.raises(ImageTooLarge, match="2,000,000 pixels"):
        inspector.inspect_image(picture(tmp_path / "p.png", (2000, 1500))).result(30)
    with pytest.raises(ImageTooLarge, match="bytes"):
        inspector.inspect_image(recording(tmp_path / "r.wav", 200)).result(30)
    with pytest.raises(AudioTooLarge, match="600 seconds"):
        inspector.inspect_audio(recording(tmp_path / "long.wav", 601)).result(30)
    with pytest.raises(EmptyAudio):
        inspector.inspect_audio(recording(tmp_path / "short.wav", 0.01)).result(30)


def test_a_file_that_is_not_there_is_refused(inspector: Inspector, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage):
        inspector.inspect_image(tmp_path / "nothing").result(30)
    with pytest.raises(UnreadableAudio):
        inspector.inspect_audio(tmp_path / "nothing").result(30)


def test_a_file_that_takes_too_long_is_refused_and_the_next_one_served(tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    os.mkfifo(endless)  # opening it waits for a writer that never comes
    inspector = Inspector(Limits(2_000_000, 2_000_000, 2_000_000, 600.0, timeout=0.3))
    try:
        with pytest.raises(UnreadableImage, match="decoder failed"):
            inspector.inspect_image(endless).result(30)
        assert inspector.inspect_image(picture(tmp_path / "p.png")).result(30).width == 120
    finally:
        inspector.close()


def test_a_child_that_is_killed_costs_one_upload(tmp_path: Path) -> None:
    endless = tmp_path / "endless"
    os.mkfifo(endless)
    before = children()
    inspector = Inspector(LIMITS)
    try:
        inspector.inspect_image(picture(tmp_path / "p.png")).result(30)
        (child,) = children() - before
        waiting = inspector.inspect_image(endless)
        time.sleep(0.2)
        os.kill(child, signal.SIGSEGV)  # as a decoder ends its process
        with pytest.raises(UnreadableImage, match="decoder failed"):
            waiting.result(30)
        assert inspector.inspect_image(picture(tmp_path / "p.png")).result(30).width == 120
    finally:
        inspector.close()
    assert children() == before


def test_a_child_that_died_idle_costs_nothing(tmp_path: Path) -> None:
    before = children()
    inspector = Inspector(LIMITS)
    try:
        path = picture(tmp_path / "p.png")
        inspector.inspect_image(path).result(30)
        (child,) = children() - before
        os.kill(child, signal.SIGKILL)
        while Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)
        assert inspector.inspect_image(path).result(30).width == 120
    finally:
        inspector.close()


@pytest.mark.parametrize(
    ("suffix", "media_type"), [("mp4", "video/mp4"), ("webm", "video/webm"), ("mov", "video/quicktime")]
)
def test_a_video_as_a_source_image_is_measured(
    suffix: str, media_type: str, inspector: Inspector, tmp_path: Path
) -> None:
    path = save_video(tmp_path / f"a.{suffix}", [Image.new("RGB", (96, 64), (90, 90, 90))] * 3)
    assert inspector.inspect_image(path).result(20) == ImageFacts(96, 64, media_type)


def test_a_video_without_pictures_is_no_source_image(inspector: Inspector, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    with pytest.raises(UnreadableImage, match="no frame that can be decoded"):
        inspector.inspect_image(path).result(20)
    large = save_video(tmp_path / "large.mp4", [Image.new("RGB", (2000, 1200))] * 2)
    with pytest.raises(ImageTooLarge, match="2000 x 1200"):
        inspector.inspect_image(large).result(20)
