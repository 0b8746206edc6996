"""Texture-mapped triangles, against pictures that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from sadtalker_service.engines.mesh.kernels.painting import FULL_SHADE
from sadtalker_service.engines.mesh.kernels.raster import draw_triangles
from sadtalker_service.engines.mesh.kernels.texels import PAD, pack

F32 = NDArray[np.float32]
Picture = NDArray[np.uint8]

HEIGHT, WIDTH = 23, 31
UNTOUCHED = 77


@pytest.fixture
def picture() -> Picture:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def corners(width: float = WIDTH, height: float = HEIGHT) -> F32:
    """float32 (4, 2): left top, left bottom, right top, right bottom of a picture."""
    return np.array([[0, 0], [0, height], [width, 0], [width, height]], np.float32)


QUAD = np.array([[0, 1, 2], [2, 1, 3]], np.int32)
"""Both triangles of `corners`, front side up."""


def texture_of(position: F32) -> F32:
    """Texel coordinates of points given in source pixels."""
    return ((position - 0.5) * 2.0 + PAD).astype(np.float32)


def draw(
    source: Picture,
    position: F32,
    texture: F32,
    triangles: NDArray[np.int32] = QUAD,
    shade: F32 | None = None,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Picture:
    """A picture of the triangles over a plain one of the value `UNTOUCHED`; `shade` given = shaded."""
    out = np.full((*size, 3), UNTOUCHED, np.uint8)
    shaded = np.full(len(triangles), shade is not None)
    if shade is None:
        shade = np.full(len(position), FULL_SHADE, np.float32)
    points = np.float32(position)[None]
    draw_triangles(pack(source), triangles, shaded, points, np.float32(texture), shade[None], out[None])
    return out


@pytest.mark.parametrize("shaded", [False, True])
def test_the_identity_gives_the_picture_back_bit_for_bit(picture: Picture, shaded: bool) -> None:
    shade = np.full(4, FULL_SHADE, np.float32) if shaded else None
    assert np.array_equal(draw(picture, corners(), texture_of(corners()), shade=shade), picture)


def test_a_fine_mesh_at_rest_gives_the_picture_back_bit_for_bit(picture: Picture) -> None:
    points, triangles = triangulation(np.random.default_rng(5), 60, WIDTH, HEIGHT)
    assert np.array_equal(draw(picture, points, texture_of(points), triangles), picture)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (4, 0), (0, -3), (-7, 5)])
def test_a_shift_by_whole_pixels_is_exact(picture: Picture, dx: int, dy: int) -> None:
    out = draw(picture, corners() + np.float32([dx, dy]), texture_of(corners()))
    expected = np.full_like(picture, UNTOUCHED)
    to, source = (
        (
            slice(max(sign * dy, 0), HEIGHT + min(sign * dy, 0)),
            slice(max(sign * dx, 0), WIDTH + min(sign * dx, 0)),
        )
        for sign in (1, -1)
    )
    expected[to] = picture[source]
    assert np.array_equal(out, expected)


@pytest.mark.parametrize(("dx", "dy"), [(0.5, 0.0), (0.0, 0.5), (-0.5, 0.5), (0.25, -0.125)])
def test_a_ramp_shifted_by_a_part_of_a_pixel_is_the_ramp_there(dx: float, dy: float) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    plane = 30.0 + 3.0 * x + 4.0 * y
    source = np.repeat(plane[..., None], 3, axis=2).astype(np.uint8)
    out = draw(source, corners() + np.float32([dx, dy]), texture_of(corners()))
    expected = plane - 3.0 * dx - 4.0 * dy
    inner = np.s_[4:-4, 4:-4]
    assert np.abs(out[inner].astype(float) - expected[inner][..., None]).max() <= 1.0


def triangulation(
    rng: np.random.Generator, points: int, width: int, height: int, on_centres: bool = False
) -> tuple[F32, NDArray[np.int32]]:
    """Random vertices float32 (n, 2), corners included, and front-facing triangles int32 (t, 3) that fill the
    rectangle; with all inner vertices exactly on centres of pixels if wanted."""
    inside = rng.uniform(0.0, 1.0, (points, 2)) * (width, height)
    if on_centres:
        inside = np.floor(inside) + 0.5
    position = np.unique(np.concatenate([corners(width, height), inside]), axis=0).astype(np.float32)
    triangles = Delaunay(position).simplices.astype(np.int32)
    u, v = (position[triangles[:, k]] - position[triangles[:, 0]] for k in (1, 2))
    back = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] > 0
    triangles[back] = triangles[back][:, ::-1]
    return position, triangles


def coverage(position: F32, triangles: NDArray[np.int32], side: int) -> NDArray[np.int_]:
    """How many of the triangles, each drawn alone, paint a pixel; int (side, side)."""
    white = np.full((side, side, 3), 255, np.uint8)
    texture = texture_of(position)
    alone = [draw(white, position, texture, triangle[None], size=(side, side)) for triangle in triangles]
    return np.sum([out[..., 0] == 255 for out in alone], axis=0)


@pytest.mark.parametrize("seed", range(6))
def test_neighbours_leave_no_gap_and_paint_no_pixel_twice(seed: int) -> None:
    assert (coverage(*triangulation(np.random.default_rng(seed), 60, 40, 40), 40) == 1).all()


@pytest.mark.parametrize("seed", range(6))
def test_there_is_no_gap_even_where_corners_are_on_centres_of_pixels(seed: int) -> None:
    painted = coverage(*triangulation(np.random.default_rng(seed), 60, 24, 24, on_centres=True), 24)
    assert painted.min() == 1
    assert (painted > 1).mean() < 0.01


def test_a_triangle_seen_from_behind_is_left_out(picture: Picture) -> None:
    out = draw(picture, corners(), texture_of(corners()), np.ascontiguousarray(QUAD[:, ::-1]))
    assert (out == UNTOUCHED).all()


def test_a_later_triangle_covers_an_earlier_one() -> None:
    source = np.zeros((4, 20, 3), np.uint8)
    source[:, 10:] = 200
    texture = np.concatenate([texture_of(np.full((4, 2), 2.0)), texture_of(np.full((4, 2), 17.0))])
    position = np.concatenate([corners(8, 4), corners(4, 4)])
    out = draw(source, position, texture, np.concatenate([QUAD, QUAD + 4]), size=(4, 8))
    assert (out[:, :4] == 200).all()
    assert (out[:, 4:] == 0).all()


@pytest.mark.parametrize(("dx", "dy"), [(-500, 0), (500, 0), (0, -500), (0, 500), (500, -500)])
def test_outside_of_the_source_its_border_goes_on(dx: int, dy: int) -> None:
    source = np.full((6, 9, 3), 100, np.uint8)
    source[0], source[-1], source[:, 0], source[:, -1] = 10, 20, 30, 40
    source[0, -1] = 50
    out = draw(source, corners(9, 6), texture_of(corners(9, 6) + np.float32([dx, dy])), size=(6, 9))
    outermost = pack(source)[:, :-1] & np.uint32(0xFF)  # the last texel has no neighbour to be blended with
    row = np.full(6, len(outermost) - 2 if dy > 0 else 0) if dy else np.arange(6) * 2 + PAD
    column = np.full(9, outermost.shape[1] - 1 if dx > 0 else 0) if dx else np.arange(9) * 2 + PAD
    assert np.abs(out[..., 0].astype(int) - outermost[np.ix_(row, column)].astype(int)).max() <= 1


def test_shade_multiplies_the_colour() -> None:
    source = np.full((HEIGHT, WIDTH, 3), (200, 100, 51), np.uint8)
    shade = np.array([64, 64, 256, 256], np.float32)  # from a quarter on the left to full on the right
    out = draw(source, corners(), texture_of(corners()), shade=shade)
    share = 0.25 + 0.75 * (np.arange(WIDTH) + 0.5) / WIDTH
    expected = share[None, :, None] * source
    assert np.abs(out - expected).max() <= 1.5
    dark = draw(source, corners(), texture_of(corners()), shade=np.full(4, -300, np.float32))
    bright = draw(source, corners(), texture_of(corners()), shade=np.full(4, 900, np.float32))
    assert not dark.any()
    assert np.array_equal(bright, source)


def test_frames_that_are_drawn_together_are_those_that_are_drawn_alone(picture: Picture) -> None:
    rng = np.random.default_rng(8)
    points, triangles = triangulation(rng, 40, WIDTH, HEIGHT)
    moved = (points + rng.normal(0.0, 1.5, (5, *points.shape))).astype(np.float32)
    shade = rng.uniform(50.0, 256.0, moved.shape[:2]).astype(np.float32)
    shaded = np.arange(len(triangles)) % 2 == 0
    together = np.full((5, HEIGHT, WIDTH, 3), UNTOUCHED, np.uint8)
    alone = together.copy()
    texels, texture = pack(picture), texture_of(points)
    draw_triangles(texels, triangles, shaded, moved, texture, shade, together)
    for f in range(5):
        one = slice(f, f + 1)
        draw_triangles(texels, triangles, shaded, moved[one], texture, shade[one], alone[one])
    assert np.array_equal(together, alone)
    assert len({frame.tobytes() for frame in together}) == 5


def test_a_picture_with_a_fourth_channel_gets_the_same_colours(picture: Picture) -> None:
    points, triangles = triangulation(np.random.default_rng(4), 40, WIDTH, HEIGHT)
    moved = points * np.float32(0.9) + np.float32(1.3)
    out = np.full((1, HEIGHT, WIDTH, 4), UNTOUCHED, np.uint8)
    shade = np.full((1, len(points)), FULL_SHADE, np.float32)
    flags = np.zeros(len(triangles), np.bool_)
    draw_triangles(pack(picture), triangles, flags, moved[None], texture_of(points), shade, out)
    assert np.array_equal(out[0, ..., :3], draw(picture, moved, texture_of(points), triangles))


GUARD = 8
COORDINATE = st.one_of(
    st.floats(-60, 90, width=32), st.floats(-2000, 2000, width=32), st.integers(-3, 40), st.just(12.5)
)


@settings(max_examples=120, deadline=None)
@given(
    position=st.lists(st.tuples(COORDINATE, COORDINATE), min_size=5, max_size=5),
    texture=st.lists(st.tuples(COORDINATE, COORDINATE), min_size=5, max_size=5),
    shade=st.lists(st.floats(-500, 500, width=32), min_size=5, max_size=5),
    shaded=st.booleans(),
)
def test_no_triangle_ever_paints_outside_of_the_picture_or_of_itself(
    position: list[tuple[float, float]],
    texture: list[tuple[float, float]],
    shade: list[float],
    shaded: bool,
) -> None:
    height, width = 12, 17
    guarded = np.full((height + 2 * GUARD, width, 3), UNTOUCHED, np.uint8)
    source = np.full((9, 10, 3), 200, np.uint8)
    triangles = np.array([[0, 1, 2], [0, 2, 1], [1, 3, 2], [4, 3, 1], [0, 0, 3]], np.int32)
    points = np.array(position, np.float32)
    draw_triangles(
        pack(source),
        triangles,
        np.full(len(triangles), shaded),
        points[None],
        np.array(texture, np.float32),
        np.array([shade if shaded else [FULL_SHADE] * 5], np.float32),
        guarded[None, GUARD : GUARD + height],
    )
    assert (guarded[:GUARD] == UNTOUCHED).all()
    assert (guarded[GUARD + height :] == UNTOUCHED).all()
    y, x = np.nonzero((guarded[GUARD : GUARD + height] != UNTOUCHED).any(axis=2))
    low, high = points.min(axis=0) - 0.51, points.max(axis=0) + 0.51
    assert ((x + 0.5 >= low[0]) & (x + 0.5 <= high[0])).all()
    assert ((y + 0.5 >= low[1]) & (y + 0.5 <= high[1])).all()
    if not shaded:
        assert np.isin(guarded, (UNTOUCHED, 200)).all()
