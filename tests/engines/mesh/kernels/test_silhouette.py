"""The outline of a turned surface has intermediate values, and a surface at rest is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.painting import FULL_SHADE
from sadtalker_service.engines.mesh.kernels.raster import draw_triangles
from sadtalker_service.engines.mesh.kernels.silhouette import shared_edges, soften_outline
from sadtalker_service.engines.mesh.kernels.texels import PAD, pack

NO_VERTEX = np.zeros(0, np.int32)
SIDE = 64
TRIANGLES = np.array([[6, 7, 8], [7, 9, 8], [0, 1, 2], [1, 3, 2], [2, 3, 4], [3, 5, 4]], np.int32)
"""A background, and before it two panels side by side: 0 1 is the left border, 2 3 the fold, 4 5 the right
border."""
BACKGROUND = np.array([[0, 0], [0, SIDE], [SIDE, 0], [SIDE, SIDE]], np.float32)


def panels(fold: tuple[float, float], right: tuple[float, float]) -> NDArray[np.float32]:
    """x of the fold and of the right border, at the top and at the bottom."""
    xs = (0.0, 0.0, *fold, *right)
    return np.array([(x, (0.0, SIDE)[k % 2]) for k, x in enumerate(xs)], np.float32)


def drawn(position: NDArray[np.float32], soft: bool) -> NDArray[np.uint8]:
    """White panels on black."""
    source = np.zeros((SIDE, 3 * SIDE, 3), np.uint8)
    source[:, : SIDE + 8] = 255
    at_rest = np.concatenate(
        [panels((SIDE / 2,) * 2, (SIDE,) * 2), BACKGROUND + np.float32((2 * SIDE - 8, 0))]
    )
    texture = (at_rest * 2 + PAD - 1.0).astype(np.float32)
    position = np.concatenate([position, BACKGROUND])
    out = np.full((SIDE, SIDE, 3), 99, np.uint8)
    shade = np.full((1, len(texture)), FULL_SHADE, np.float32)
    flags = np.zeros(len(TRIANGLES), np.bool_)
    drawing = draw_triangles(pack(source), TRIANGLES, flags, position[None], texture, shade, out[None])
    if soft:
        edges = shared_edges(TRIANGLES, 0, NO_VERTEX)
        soften_outline(drawing, 0, edges, TRIANGLES, position, texture, out)
    return out


def test_edges_are_those_between_two_triangles() -> None:
    edges = shared_edges(TRIANGLES, 0, NO_VERTEX)
    assert sorted(map(tuple, edges[:, :2].tolist())) == [(1, 2), (2, 3), (3, 4), (7, 8)]
    assert all(len(set(TRIANGLES[a]) & set(TRIANGLES[b])) == 2 for a, b in edges[:, 2:])
    assert len(shared_edges(TRIANGLES, 4, NO_VERTEX)) == 1
    assert len(shared_edges(TRIANGLES, 0, np.array([3], np.int32))) == 2


@pytest.mark.parametrize("lean", [3.7, 9.2, -6.3])
def test_a_fold_that_hides_a_panel_is_smooth(lean: float) -> None:
    """The right panel is turned away. What is left of the fold covers exactly its share of each pixel."""
    fold = (36.0, 36.0 + lean)
    position = panels(fold, (30.0, 30.0 + lean))
    hard, soft = (drawn(position, flag)[8:-8, :, 0].astype(float) for flag in (False, True))
    rows = np.arange(8, SIDE - 8) + 0.5
    border = fold[0] + (fold[1] - fold[0]) * rows / SIDE
    wanted = 255 * np.clip(border[:, None] - np.arange(SIDE), 0.0, 1.0)
    near = slice(24, 48)
    assert np.abs(soft - wanted)[:, near].max() < 0.3 * 255
    assert np.abs(soft - wanted)[:, near].mean() < 0.4 * np.abs(hard - wanted)[:, near].mean()


def test_a_surface_that_only_moves_is_not_touched() -> None:
    for position in (panels((32.0, 32.0), (64.0, 64.0)), panels((35.5, 30.2), (61.0, 63.0))):
        assert np.array_equal(drawn(position, True), drawn(position, False))
