"""What lies behind a cut-out person, and captions over it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import Rendering
from sadtalker_service.errors import InvalidOption
from sadtalker_service.media.backdrop import covering, in_front_of
from sadtalker_service.media.caption_overlay import burn_in
from sadtalker_service.media.cues import Cue

BOX = (4, 2, 12, 10)


def cut_out(alpha: int, frames: int = 3) -> Rendering:
    """Something of one opacity, whose red grows from frame to frame."""
    background = np.full((16, 24, 4), (200, 100, 50, alpha), np.uint8)
    batches = (np.full((1, 8, 8, 4), (60 * n, 100, 50, alpha), np.uint8) for n in range(frames))
    return Rendering(background, BOX, 25, frames, batches)


def whole(rendering: Rendering) -> NDArray[np.uint8]:
    frames = []
    x0, y0, x1, y1 = rendering.box
    for batch in rendering.batches:
        for picture in batch:
            frames.append(rendering.background.copy())
            frames[-1][y0:y1, x0:x1] = picture
    return np.array(frames)


@pytest.mark.parametrize("alpha", [0, 1, 77, 128, 254, 255])
def test_colours_are_mixed_by_opacity(alpha: int) -> None:
    shown = whole(in_front_of(cut_out(alpha), "#0a14ff", None))
    for n, frame in enumerate(shown):
        for at, front in (((0, 0), (200, 100, 50)), ((5, 6), (60 * n, 100, 50))):
            ideal = (np.array(front) * alpha + np.array((10, 20, 255)) * (255 - alpha)) / 255
            assert np.abs(frame[at] - ideal).max() <= 0.5
    assert shown.shape == (3, 16, 24, 3)


def test_a_picture_covers_everything_and_keeps_its_proportions() -> None:
    picture = np.zeros((40, 200, 3), np.uint8)
    picture[:, 80:120] = 255  # a square in the middle
    seen = covering(picture, (24, 16))
    white = seen[..., 0] > 127
    assert white.all(axis=0).sum() == 16, "as wide as high"
    assert white[:, 4:20].all()
    shown = whole(in_front_of(cut_out(0), "a" * 64, picture))
    assert (shown == seen).all()


def test_a_missing_picture_is_said() -> None:
    with pytest.raises(InvalidOption, match="missing"):
        in_front_of(cut_out(0), "a" * 64, None)


def test_captions_are_opaque_over_a_transparent_video() -> None:
    background = np.zeros((240, 320, 4), np.uint8)
    batches = iter([np.zeros((2, 20, 20, 4), np.uint8)])
    frames = whole(
        burn_in(Rendering(background, (0, 0, 20, 20), 25, 2, batches), [Cue(0.0, 1.0, ("Hello",))])
    )
    text = frames[0][frames[0][..., 3] == 255]
    assert (text[:, :3] > 240).all(axis=1).any(), "white"
    assert (text[:, :3] < 15).all(axis=1).any(), "with a black edge"
    assert (frames[0][:100, ..., 3] == 0).all()
