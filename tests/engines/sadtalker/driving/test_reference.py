"""Reference videos provide blinks and head motion at any frame rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sadtalker_service.engines.sadtalker.driving.reference import (
    ReferenceTrack,
    expressions,
    motion,
    read_reference,
)
from sadtalker_service.engines.sadtalker.driving.tracks import repeated
from sadtalker_service.errors import NoFaceFound
from sadtalker_service.faces.landmarker import FaceLandmarker

SOURCE_IMAGE = Path(__file__).parents[4] / "examples" / "portrait.jpg"


def wave(times: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.sin(2 * times)[:, None].repeat(73, axis=1).astype(np.float32)


@pytest.mark.parametrize("rate", [12.0, 24.0, 25.0, 29.97, 60.0])
def test_motion_keeps_its_speed_at_any_frame_rate(rate: float) -> None:
    times = 3.0 + np.arange(int(4 * rate)) / rate
    track = ReferenceTrack(times, wave(times)).at_video_rate()
    assert abs(len(track) / 25 - 4) < 0.1
    wanted = wave(3.0 + np.arange(len(track)) / 25)
    assert np.abs(track - wanted).max() < 0.004  # linear interpolation error of the curve at 12 fps


def test_frames_without_a_face_are_interpolated() -> None:
    times = np.arange(100) / 25
    seen = np.r_[0:30, 36:100]
    track = ReferenceTrack(times[seen], wave(times)[seen]).at_video_rate()
    assert np.abs(track - wave(times)).max() < 0.03


def test_short_reference_repeats_like_the_original_or_without_its_jump(golden: Any) -> None:
    """Thirty frames for 84. The original restarts, ours reverses."""
    wanted = golden("e2e_audio")
    reference = wanted["ref_video_coeff"]
    assert np.array_equal(repeated(reference[:, :64], 84), wanted["A.refblink.ref"][:, :64])
    ours = expressions(reference, 84)
    assert np.array_equal(ours[:30], reference[:30, :64])
    steps = np.abs(np.diff(ours, axis=0)).max(axis=1)
    assert steps.max() == np.abs(np.diff(reference[:, :64], axis=0)).max()
    moved = motion(reference, 84)
    assert np.array_equal(moved[0], np.zeros(6, np.float32))
    assert np.array_equal(moved[:30], reference[:30, 64:70] - reference[0, 64:70])


def test_video_of_a_moving_head_is_read_in_batches() -> None:
    """The example source image, moving sideways. The regression returns the brightness of its input."""
    picture = np.asarray(Image.open(SOURCE_IMAGE).convert("RGB"))
    landmarks = FaceLandmarker().detect(picture).landmarks
    pending: list[int] = []

    def footage() -> Iterator[tuple[float, Any]]:
        for number in range(40):
            pending.append(number)
            yield number / 25, np.roll(picture, number, axis=1)

    def find(pixels: Any) -> Any:
        shift = int(
            np.abs(picture[0, :, 0][None] - [np.roll(pixels[0, :, 0], -k) for k in range(40)]).sum(1).argmin()
        )
        return None if shift == 5 else landmarks + np.array([shift, 0, 0])

    batches: list[int] = []

    def regress(faces: Any) -> Any:
        batches.append(len(faces))
        assert faces.shape[1:] == (224, 224, 3)
        return np.full((len(faces), 257), faces.mean(), np.float32)

    track = read_reference(footage(), "crop", find, regress)
    assert batches == [16, 16, 7]
    assert len(track.rows) == 39
    assert 5 / 25 not in track.times
    across = track.rows[:, 71]
    assert np.all(np.diff(across) > 0)  # the crop stays in place, so the face moves in it
    assert np.abs(track.rows[:, 70] - track.rows[0, 70]).max() < 1e-4


def test_only_some_of_sixty_frames_per_second_are_read() -> None:
    looked: list[float] = []

    def footage() -> Iterator[tuple[float, Any]]:
        for number in range(60):
            yield number / 60, np.full((4, 4, 3), number, np.uint8)

    def find(pixels: Any) -> None:
        looked.append(float(pixels.mean()))

    with pytest.raises(NoFaceFound):
        read_reference(footage(), "crop", find, lambda faces: np.zeros((len(faces), 257), np.float32))
    assert len(looked) == 30
