"""Frames are pasted without a seam, and computation happens only where frame and source image are blended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from benchmarks.pasting import (
    EXAMPLE,
    excess_slope,
    poisson,
    scaled,
    scene,
    step_across,
)
from PIL import Image
from tests.support.sadtalker_inputs import photo

from sadtalker_service.engines.sadtalker.pasting import fill, paste_into, plan_paste


@pytest.fixture(scope="module", params=[(1.0, True), (2.0, True), (2.0, False)])
def pasted(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """(paste, frame) of the example source image. The frame is moved, softer and brighter, and may have a
    dark edge."""
    scale, dark_edge = request.param
    return scene(np.asarray(Image.open(EXAMPLE).convert("RGB")), scale, dark_edge=dark_edge)


def test_border_is_as_smooth_as_the_source_image_and_as_with_poisson(pasted: tuple[Any, Any]) -> None:
    paste, frame = pasted
    x0, y0, x1, y1 = paste.box
    inside = paste.background[y0:y1, x0:x1]
    plain, blend = scaled(frame, paste), paste.frames(frame[None])[0]
    solved = poisson(plain, inside)
    assert step_across(plain, paste) > 3 * step_across(inside, paste)  # there is a seam to hide
    assert step_across(blend, paste) < 1.02 * step_across(inside, paste)
    assert step_across(blend, paste) < 1.02 * step_across(solved, paste)
    assert excess_slope(blend, plain, paste) < 1.3 * excess_slope(solved, plain, paste)


def test_a_frame_costs_one_small_integer_sum_for_less_than_half_of_its_pixels(
    pasted: tuple[Any, Any],
) -> None:
    """The blending cost in addition to the scaling. The benchmark compares it with Poisson's equation."""
    paste, _ = pasted
    x0, y0, x1, y1 = paste.box
    blended = np.zeros((y1 - y0, x1 - x0), int)
    for band in paste.bands:
        blended[band.place] += 1
        assert band.weight.dtype == band.original.dtype == np.uint16
        assert band.weight.shape == band.original.shape == (*blended[band.place].shape, 3)
    assert blended.max() == 1, "no pixel twice"
    assert blended.mean() < 0.5


def test_only_the_frame_is_visible_inside_the_band(pasted: tuple[Any, Any]) -> None:
    paste, frame = pasted
    plain, blend = scaled(frame, paste), paste.frames(frame[None])[0]
    height, width = blend.shape[:2]
    core = np.s_[int(0.15 * height) : int(0.85 * height), int(0.15 * width) : int(0.85 * width)]
    assert np.array_equal(blend[core], plain[core])


def test_frames_align_exactly_with_the_source_image() -> None:
    """Also at odd and fractional positions: a frame that shows the source image itself changes nothing."""
    background = np.asarray(Image.fromarray(photo(40, 60)).resize((600, 400), Image.Resampling.BICUBIC))
    for rectangle in (
        (101, 51, 357, 307),
        (100.4, 50.7, 356.4, 306.7),
        (0, 0, 256, 256),
        (344, 144, 600, 400),
    ):
        x0, y0, x1, y1 = rectangle
        image = Image.fromarray(background).resize((256, 256), Image.Resampling.BILINEAR, box=rectangle)
        paste = plan_paste(background, rectangle)
        bx0, by0, bx1, by1 = paste.box
        assert all(side % 2 == 0 for side in paste.box)
        assert x0 <= bx0 < x0 + 2
        assert y0 <= by0 < y0 + 2
        assert x1 - 2 < bx1 <= x1
        assert y1 - 2 < by1 <= y1
        difference = np.abs(
            paste.frames(np.asarray(image)[None])[0].astype(int) - background[by0:by1, bx0:bx1]
        )
        assert difference.mean() < 0.5
        assert np.percentile(difference, 99.9) <= 8  # the sharpest edges, interpolated twice


def test_tall_source_image_is_scaled_with_its_face() -> None:
    """The source image's own square, pasted at its original position in an image of odd size that is made
    smaller."""
    picture = np.asarray(Image.fromarray(photo(60, 40)).resize((401, 601), Image.Resampling.BICUBIC))
    rect = (100, 50, 356, 306)
    paste = paste_into(picture, rect, (9999, 300))
    assert paste.background.shape == (300, 200, 3)
    x0, y0, x1, y1 = paste.box
    blend = paste.frames(picture[None, 50:306, 100:356])[0].astype(int)
    assert np.abs(blend - paste.background[y0:y1, x0:x1]).mean() < 1.5
    assert paste_into(picture, rect, (9999, 2000)).background.shape == (600, 400, 3)
    assert paste_into(picture, rect, (200, 9999)).background.shape == (300, 200, 3)


def test_sides_on_the_image_border_have_a_narrow_band() -> None:
    """A completely black frame at the left and upper border of a white image."""
    background = np.full((200, 300, 3), 255, np.uint8)
    (blend,) = plan_paste(background, (0, 0, 200, 200)).frames(np.zeros((1, 256, 256, 3), np.uint8))
    reached = {"left": blend[100, :100, 0], "top": blend[:100, 100, 0], "right": blend[100, :99:-1, 0]}
    widths = {side: int(np.argmin(line > 0)) for side, line in reached.items()}
    assert widths["left"] == widths["top"] <= 0.035 * 200
    assert widths["right"] > 0.1 * 200
    assert np.array_equal(blend[:, -1], background[:, 199])


def test_square_smaller_than_its_bands_is_still_blended() -> None:
    background = photo(64, 64)
    paste = plan_paste(background, (20, 20, 24, 24))
    frames = paste.frames(np.zeros((2, 256, 256, 3), np.uint8))
    assert frames.shape == (2, 4, 4, 3)
    assert (frames[0] < background[20:24, 20:24]).any()


def test_frames_that_fill_the_video_are_only_scaled() -> None:
    frames = np.stack([photo(256, 256), 255 - photo(256, 256)])
    same = fill(frames[0], (256, 256))
    assert np.array_equal(same.frames(frames), frames)
    assert np.array_equal(same.background, frames[0])
    wide = fill(frames[0], (512, 342))
    assert wide.background.shape == (342, 512, 3)
    assert wide.frames(frames).shape == (2, 342, 512, 3)
