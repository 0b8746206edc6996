"""The skin of a closed eye, made from a photo of an open one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sadtalker_service.domain import SourceImage
from sadtalker_service.engines.mesh.faceframe import FaceFrame, fit_face_frame
from sadtalker_service.engines.mesh.lashes import ABOVE, ROWS_PER_MM, draw_lashes
from sadtalker_service.engines.mesh.lids import (
    DENSITY,
    HALF_SIZE,
    POSITIONS,
    draw_lids,
    eye_lines,
    lid_anchor,
)
from sadtalker_service.engines.mesh.surface import build_surface
from sadtalker_service.engines.mesh.tone import LUMA
from sadtalker_service.faces.topology import EYES, LANDMARKS


@pytest.fixture(scope="module")
def frame(landmarks: NDArray[np.float32]) -> FaceFrame:
    return fit_face_frame(landmarks)


@pytest.fixture(scope="module")
def points(landmarks: NDArray[np.float32], frame: FaceFrame) -> NDArray[np.float64]:
    """Landmarks with the eye holes that the renderer cuts, pixels."""
    return frame.to_picture(build_surface(landmarks, frame, (512, 512), 1.0).rest[:LANDMARKS])


@pytest.fixture(scope="module")
def lids(source_image: SourceImage, points: NDArray[np.float64], frame: FaceFrame) -> NDArray[np.uint8]:
    return draw_lids(source_image.pixels, points, frame.scale)


def grid(points: NDArray[np.float64], side: int, shape: tuple[int, ...], scale: float) -> NDArray[np.float64]:
    """float64 (h, w, 2): where in the source image the pixels of a lid's picture are."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    step = scale / DENSITY
    return np.stack([x - width / 2, y - height / 2], axis=-1) * step + lid_anchor(points, EYES[side])


def test_pictures_have_the_size_they_say(lids: NDArray[np.uint8]) -> None:
    width, height = (round(2 * half * DENSITY) for half in HALF_SIZE)
    assert lids.shape == (2, height, width, 4)
    assert lids.dtype == np.uint8


@pytest.mark.parametrize("side", [0, 1])
def test_a_lid_is_skin_without_lashes_or_eyeball(
    source_image: SourceImage,
    points: NDArray[np.float64],
    frame: FaceFrame,
    lids: NDArray[np.uint8],
    side: int,
) -> None:
    lid = lids[side]
    shown = lid[..., 3] > 200
    luma = lid[..., :3] @ LUMA
    skin = np.median(luma[lid[..., 3] == 0])
    at = grid(points, side, lid.shape, frame.scale)[shown].astype(int)
    photo = source_image.pixels[at[:, 1], at[:, 0]] @ LUMA
    assert photo.min() < 0.3 * skin  # what had to go: pupil and lashes
    assert luma[shown].min() > 0.55 * skin
    assert abs(np.median(luma[shown]) - skin) < 0.12 * skin
    assert np.abs(np.diff(luma, axis=0))[shown[1:] & shown[:-1]].max() < 0.12 * skin  # and no line is left


@pytest.mark.parametrize("side", [0, 1])
def test_dark_lines_around_an_eye_do_not_darken_its_lid(
    source_image: SourceImage,
    points: NDArray[np.float64],
    frame: FaceFrame,
    lids: NDArray[np.uint8],
    side: int,
) -> None:
    """Long lashes, make-up, the rim of spectacles: what is filled in from there is still skin."""
    eye = EYES[side]
    made_up = Image.fromarray(source_image.pixels)
    around = points[[*eye.rings_above[0], *eye.rings_below[0][::-1], eye.rings_above[0][0]], :2]
    ImageDraw.Draw(made_up).line([(float(x), float(y)) for x, y in around], fill=(25, 18, 15), width=2)
    lid = draw_lids(np.asarray(made_up), points, frame.scale)[side]
    shown = (lids[side][..., 3] > 200) & (lid[..., 3] > 200)  # a rim of spectacles stays in front of the lid
    assert shown.mean() > 0.1
    darker = lids[side][shown][:, :3] @ LUMA - lid[shown][:, :3] @ LUMA
    assert darker.mean() < 20
    assert darker.max() < 60


@pytest.mark.parametrize("side", [0, 1])
def test_a_lid_covers_the_eye_and_leaves_what_is_around_as_it_is(
    source_image: SourceImage,
    points: NDArray[np.float64],
    frame: FaceFrame,
    lids: NDArray[np.uint8],
    side: int,
) -> None:
    lid = lids[side]
    at = grid(points, side, lid.shape, frame.scale)
    for vertex in EYES[side].upper_lid:
        nearest = np.unravel_index(np.linalg.norm(at - points[vertex, :2], axis=2).argmin(), lid.shape[:2])
        assert lid[nearest][3] > 200
    border = np.concatenate([lid[0], lid[-1], lid[:, 0], lid[:, -1]])
    assert not border[:, 3].any()
    hidden = lid[..., 3] == 0
    bright = (lid[..., :3] @ LUMA > 0.9 * np.median(lid[hidden][:, :3] @ LUMA)) & hidden
    pixel = at[bright].astype(int)
    change = lid[bright][:, :3].astype(int) - source_image.pixels[pixel[:, 1], pixel[:, 0]]
    assert np.median(np.abs(change)) <= 4


def test_lids_of_a_face_at_the_border_are_still_drawn(
    source_image: SourceImage, points: NDArray[np.float64], frame: FaceFrame
) -> None:
    left, top = points[EYES[0].iris[0], :2].astype(int)
    cut = np.ascontiguousarray(
        source_image.pixels[top:, left:]
    )  # the right eye's middle is the picture's corner
    moved = points - [left, top, 0]
    drawn = draw_lids(cut, moved, frame.scale)
    assert drawn.shape[0] == 2
    assert (drawn[..., 3] > 200).any(axis=(1, 2)).all()


@pytest.mark.parametrize("side", [0, 1])
def test_a_lid_has_the_tone_of_the_skin_around_the_eye(
    source_image: SourceImage, points: NDArray[np.float64], frame: FaceFrame, side: int
) -> None:
    """Whatever colour that is."""
    eye = EYES[side]
    for colour in ((1.0, 1.0, 1.0), (0.55, 0.42, 0.35), (0.9, 0.6, 0.3)):
        pixels = (source_image.pixels * np.array(colour)).astype(np.uint8)
        lid = draw_lids(pixels, points, frame.scale)[side]
        tone = np.median(lid[lid[..., 3] > 200][:, :3].astype(float), axis=0)
        around = points[[*eye.rings_above[1][1:6], *eye.rings_below[1][1:6]], :2].round().astype(int)
        skin = np.median(pixels[around[:, 1], around[:, 0]].astype(float), axis=0)
        assert np.abs(tone - skin).max() < 0.2 * skin.max()


def test_lashes_are_where_the_image_is_dark_along_the_lid(
    source_image: SourceImage, points: NDArray[np.float64], frame: FaceFrame
) -> None:
    """Black lines along the lids give much coverage there, none at the corners."""
    black = np.zeros(3)
    bare = Image.fromarray(np.full_like(source_image.pixels, 190))
    painted = bare.copy()
    for eye in EYES:
        lines = eye_lines(points, eye)
        line = lines.at(POSITIONS, lines.upper)
        ImageDraw.Draw(painted).line([(float(x), float(y)) for x, y in line], fill=(0, 0, 0), width=2)
    for picture, least in ((bare, 60), (painted, 150)):
        bands = draw_lashes(np.asarray(picture), points, frame.scale, black)
        row = round(ABOVE * ROWS_PER_MM)
        assert bands.shape[0] == 2
        middle = bands[:, row, 20:44]
        assert middle.min() > least
        assert bands[:, :, [0, -1]].max() == 0
    assert draw_lashes(np.asarray(bare), points, frame.scale, black)[:, row].max() < 110
    assert draw_lashes(np.asarray(bare), points, frame.scale, black)[:, 0].max() < 5
