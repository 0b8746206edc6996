"""The still picture: what does not move is the photo, at every size and in every mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_erosion

from sadtalker_service.domain import (
    HEIGHT_CAP,
    PREPROCESS_MODES,
    QUALITIES,
    Artefact,
    PreprocessMode,
    Quality,
    SourceImage,
)
from sadtalker_service.engines.mesh import stages
from sadtalker_service.engines.mesh.kernels.frame import draw_frames
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS
from sadtalker_service.engines.mesh.layout import (
    Layout,
    assemble_source_region,
    frame_size,
    lay_out,
    video_size,
)
from sadtalker_service.faces.topology import EYES, MOUTH_OPENING
from sadtalker_service.options import RenderOptions

Picture = NDArray[np.uint8]
Prepared = Callable[..., tuple[Picture, Mapping[str, Artefact]]]


@pytest.fixture(scope="module")
def prepared(source_image: SourceImage, landmarks: NDArray[np.float32]) -> Prepared:
    """Prepare a part of the source image, resized to (width, height): its pixels and artefacts."""

    def prepare(
        mode: PreprocessMode,
        size: tuple[int, int] = (512, 512),
        part: tuple[int, int, int, int] = (0, 0, 512, 512),
    ) -> tuple[Picture, Mapping[str, Artefact]]:
        x0, y0, x1, y1 = part
        factor = np.array([size[0] / (x1 - x0), size[1] / (y1 - y0)])
        pixels = source_image.pixels[y0:y1, x0:x1]
        if (factor != 1.0).any():
            pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        points = landmarks.copy()
        points[:, :2] = (points[:, :2] - (x0, y0)) * factor
        points[:, 2] *= factor.mean()
        detection = Artefact({"landmarks": points}, {"quarter_turns": 0})
        return pixels, stages.build_all(SourceImage("", np.ascontiguousarray(pixels)), mode, detection)

    return prepare


def still(layout: Layout) -> Picture:
    """The box with all controls at zero, drawn over a negative, so that what is not drawn differs."""
    x0, y0, x1, y1 = layout.box
    frames = np.ascontiguousarray(255 - layout.background[None, y0:y1, x0:x1])
    draw_frames(layout.scene, np.zeros((1, CONTROLS), np.float32), frames)
    return frames[0]


def vertices(layout: Layout) -> NDArray[np.float32]:
    """float32 (V, 2): where the vertices are at rest, pixels of the box."""
    return layout.scene.rest @ layout.scene.projection.T + layout.scene.origin


def inside(layout: Layout, rings: list[Sequence[int]], grown: int) -> NDArray[np.bool_]:
    """Pixels of the box inside any of the polygons of vertices, grown or (below zero) shrunk by pixels."""
    margin = 2 + abs(grown)
    x0, y0, x1, y1 = layout.box
    mask = Image.new("1", (x1 - x0 + 2 * margin, y1 - y0 + 2 * margin))
    for ring in rings:
        corners = vertices(layout)[list(ring)] - 0.5 + margin
        ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in corners], fill=1)
    change = binary_dilation if grown > 0 else binary_erosion
    moved: NDArray[np.bool_] = change(np.asarray(mask), np.ones((3, 3)), iterations=abs(grown))
    return moved[margin:-margin, margin:-margin]


@pytest.mark.parametrize("mode", PREPROCESS_MODES)
def test_at_rest_the_photo_comes_back_bit_for_bit_but_for_eyes_and_mouth(
    prepared: Prepared, mode: PreprocessMode
) -> None:
    _, artefacts = prepared(mode)
    layout = lay_out(artefacts, RenderOptions(preprocess=mode, size=512, quality="high"))
    x0, y0, x1, y1 = layout.box
    changed = (still(layout) != layout.background[y0:y1, x0:x1]).any(axis=2)
    outermost = range(len(layout.scene.rest) - 36, len(layout.scene.rest))
    reached = inside(layout, [outermost], grown=-2)
    drawn = inside(layout, [EYES[0].contour, EYES[1].contour, MOUTH_OPENING], grown=3)
    assert not changed[reached & ~drawn].any()
    assert changed[~inside(layout, [outermost], grown=2)].all()  # nothing is drawn beyond the mesh
    assert reached.mean() > 0.5
    assert drawn.mean() < 0.06


@pytest.mark.parametrize("mode", PREPROCESS_MODES)
def test_eyes_at_rest_are_those_of_the_photo(prepared: Prepared, mode: PreprocessMode) -> None:
    _, artefacts = prepared(mode)
    layout = lay_out(artefacts, RenderOptions(preprocess=mode, size=512, quality="high"))
    x0, y0, x1, y1 = layout.box
    eyes = inside(layout, [EYES[0].contour, EYES[1].contour], grown=3)
    change = still(layout)[eyes].astype(int) - layout.background[y0:y1, x0:x1][eyes]
    assert np.abs(change).max() <= 2


@pytest.mark.parametrize("mode", ["full", "extfull"])
@pytest.mark.parametrize("part", [(0, 0, 512, 512), (7, 3, 512, 500), (0, 0, 511, 512), (1, 0, 512, 477)])
def test_the_plate_is_the_picture_and_odd_sides_are_made_even_by_repeating_the_last(
    prepared: Prepared, mode: PreprocessMode, part: tuple[int, int, int, int]
) -> None:
    width, height = part[2] - part[0], part[3] - part[1]
    pixels, artefacts = prepared(mode, (width, height), part)
    layout = lay_out(artefacts, RenderOptions(preprocess=mode, quality="high"))
    assert (
        frame_size(artefacts, RenderOptions(preprocess=mode, quality="high"))
        == layout.background.shape[1::-1]
    )
    assert np.array_equal(
        layout.background, np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    )
    x0, y0, x1, y1 = layout.box
    assert not any(edge % 2 for edge in layout.box)
    assert 0 <= x0 < x1 <= layout.background.shape[1]
    assert 0 <= y0 < y1 <= layout.background.shape[0]
    ring = vertices(layout)[-36:]
    even = np.array([x1 - x0, y1 - y0])
    assert ring.min() >= -1e-3  # the box holds all that moves
    assert (ring.max(axis=0) <= even + 1.0).all()


@pytest.mark.parametrize("mode", PREPROCESS_MODES)
def test_strips_and_region_are_put_together_again(
    source_image: SourceImage, landmarks: NDArray[np.float32], mode: PreprocessMode
) -> None:
    pixels = np.pad(
        source_image.pixels, ((90, 0), (0, 0), (0, 0)), mode="reflect"
    )  # something above the face
    detection = Artefact({"landmarks": landmarks + np.float32([0, 90, 0])}, {"quarter_turns": 0})
    artefacts = stages.build_all(SourceImage("", pixels), mode, detection)
    source_region = assemble_source_region(artefacts["face_crop"], artefacts["background"])
    x0, y0, x1, y1 = artefacts["face_crop"].record["stage"]
    assert np.array_equal(source_region, pixels[y0:y1, x0:x1])  # the source image is small: not scaled
    strips = {name for name, strip in artefacts["background"].arrays.items() if strip.size}
    assert mode in ("crop", "extcrop") or strips == {"top", "bottom", "left", "right"}


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("size", [(1080, 1620), (1920, 1080), (2400, 900), (300, 400), (641, 479)])
def test_a_whole_picture_is_scaled_down_to_the_quality_and_never_up(
    prepared: Prepared, quality: Quality, size: tuple[int, int]
) -> None:
    side = min(512, round(512 * size[0] / size[1]))  # the part of the source image that has this shape
    part = (
        max(0, 222 - side // 2),
        0,
        max(0, 222 - side // 2) + side,
        min(512, round(side * size[1] / size[0])),
    )
    _, artefacts = prepared("full", size, part)
    background = lay_out(artefacts, RenderOptions(preprocess="full", quality=quality)).background
    height, width = background.shape[:2]
    assert width % 2 == height % 2 == 0
    assert height <= HEIGHT_CAP[quality]
    assert width <= HEIGHT_CAP[quality] * 16 // 9 + 1
    assert width <= size[0] + 1
    assert height <= size[1] + 1
    assert width / height == pytest.approx(size[0] / size[1], rel=2.5 / min(width, height))
    fills = height >= HEIGHT_CAP[quality] - 1 or width >= HEIGHT_CAP[quality] * 16 // 9 - 1
    assert fills or (width, height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)


@pytest.mark.parametrize("mode", ["crop", "extcrop", "resize"])
@pytest.mark.parametrize(("size", "side"), [(256, 256), (333, 332), (512, 512), (1024, 720)])
def test_square_modes_have_the_size_asked_for_up_to_the_quality(
    prepared: Prepared, mode: PreprocessMode, size: int, side: int
) -> None:
    _, artefacts = prepared(mode)
    layout = lay_out(artefacts, RenderOptions(preprocess=mode, size=size, quality="medium"))
    assert layout.background.shape == (side, side, 3)
    assert frame_size(artefacts, RenderOptions(size=size)) == (side, side)
    assert not any(edge % 2 for edge in layout.box)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(2, 1920),
    st.integers(2, 1080),
    st.sampled_from(QUALITIES),
    st.integers(128, 1024),
    st.booleans(),
)
def test_video_sizes_keep_to_the_cap(
    width: int, height: int, quality: Quality, size: int, square: bool
) -> None:
    cap = HEIGHT_CAP[quality]
    w, h = video_size((width, height), square, RenderOptions(size=size, quality=quality))
    assert 2 <= h <= cap
    assert 2 <= w <= cap * 16 // 9 + 1
    if square:
        assert w == h == min(size, cap) // 2 * 2
    else:
        assert w <= max(2, width)
        assert h <= max(2, height)
        assert (w, h) == (width, height) or w % 2 == h % 2 == 0
