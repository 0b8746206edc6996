"""The stream of a live session: at once, whole, and with picture and sound together."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from tests.support.live import decoded

from sadtalker_service.media.live_encoder import LiveEncoder

FLASH = 20
"""Number of the only bright frame, in which a beep begins."""
FRAMES = 40
BEEP = np.sin(2 * np.pi * 1000 * np.arange(960) / 24_000).astype(np.float32) / 2


@pytest.fixture(scope="module")
def pieces() -> list[bytes]:
    """The initialisation segment, and what each frame gives."""
    encoder = LiveEncoder((64, 48), 25)
    made = [encoder.initialisation]
    for number in range(FRAMES):
        picture = np.full((48, 64, 3), 235 if number == FLASH else 16, np.uint8)
        made.append(encoder.encode(picture, BEEP if number == FLASH else np.zeros(960, np.float32)))
    return [*made, encoder.close()]


def test_the_first_piece_carries_the_tags() -> None:
    encoder = LiveEncoder((64, 48), 25, tags={"comment": "synthetic"})
    begin = encoder.initialisation + encoder.encode(
        np.zeros((48, 64, 3), np.uint8), np.zeros(960, np.float32)
    )
    with av.open(io.BytesIO(begin + encoder.close())) as container:
        assert container.metadata["comment"] == "synthetic"


def test_picture_and_sound_are_together(pieces: list[bytes]) -> None:
    pictures, sound = decoded(b"".join(pieces))
    assert len(pictures) == FRAMES
    brightness = pictures.mean(axis=(1, 2))
    assert np.flatnonzero(brightness > 150).tolist() == [FLASH]
    begin = np.argmax(np.abs(sound) > 0.1) / 48_000
    assert begin == pytest.approx(FLASH / 25, abs=0.002)


def test_each_frame_goes_out_with_the_next_one(pieces: list[bytes]) -> None:
    """One frame of delay: after n frames, n - 1 can be decoded."""
    for count in (5, 10, 30):
        pictures, _ = decoded(b"".join(pieces[: 1 + count]))
        assert len(pictures) >= count - 1


def test_media_type_is_that_of_the_stream() -> None:
    encoder = LiveEncoder((512, 512), 25)
    encoder.encode(np.zeros((512, 512, 3), np.uint8), np.zeros(960, np.float32))
    assert encoder.media_type == 'video/mp4; codecs="avc1.64001e, mp4a.40.2"'
    encoder.close()
