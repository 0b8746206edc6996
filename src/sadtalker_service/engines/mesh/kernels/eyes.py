"""Eyes: the eyeball stays in place and follows the gaze slightly.

The skin of the upper lid closes over it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.contour import ENTRIES, clamp01, fill_curve, height_at
from sadtalker_service.engines.mesh.kernels.sampling import blend
from sadtalker_service.engines.mesh.kernels.scene import Scene
from sadtalker_service.engines.mesh.lashes import ABOVE, ROWS_PER_MM
from sadtalker_service.engines.mesh.surface import EYE_HOLE_GROWTH

_ONE = np.float32(1.0)
_LID_HEIGHT = np.float32(10.0)
"""Largest height of a lid above the opening, mm."""
_LID_BESIDE = np.float32(4.5)
"""How far a lid extends beyond the corners, mm."""
_GROWN_UP, _GROWN_DOWN = np.float32(EYE_HOLE_GROWTH[0]), np.float32(0.12 * EYE_HOLE_GROWTH[1])
"""The hole begins so far over the upper lash line, and ends so far under a closed lid, in eye widths."""
_SHOWN = np.float32(0.12)
"""Closure from which the skin of the lid is opaque. Up to there the lid covers next to nothing."""
_LASH_ROWS = np.float32(ROWS_PER_MM)
_LASH_ABOVE = np.float32(ABOVE)


@njit(cache=True, nogil=True, fastmath=True)
def draw_eye(
    scene: Scene,
    side: int,
    position: NDArray[np.float32],
    still: NDArray[np.float32],
    blink: float,
    gaze_x: float,
    gaze_y: float,
    out: NDArray[np.uint8],
) -> None:
    """Draw the eyeball, and over it the skin of the upper lid down to its edge, with the lashes.

    Args:
        scene: the constant part.
        side: 0 right, 1 left.
        position: float32 (V, 2), vertices of this frame in pixels of `out`.
        still: float32 (18, 2), positions of the lid points of `scene.lids[side]` with the eye as in the
            source image.
        blink: 0 open .. 1 closed.
        gaze_x, gaze_y: displacement of the iris from its place in the source image, mm.
        out: uint8 (H, W, 3), painted in place.
    """
    lids = scene.lids[side]
    ax, ay = position[lids[0, 0], 0], position[lids[0, 0], 1]
    bx, by = position[lids[0, 8], 0], position[lids[0, 8], 1]
    length = np.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
    if length < 2.0:
        return
    cx, cy = (bx - ax) / length, (by - ay) / length
    upper = np.empty(ENTRIES, np.float32)
    lower = np.empty(ENTRIES, np.float32)
    left, top, right, bottom = _trace_lids(lids, position, cx, cy, upper, lower)
    edge = np.empty(ENTRIES, np.float32)  # of the lid: the hole is cut outside the lash lines
    for k in range(ENTRIES):
        bulge = np.sin(np.float32(np.pi) * k / (ENTRIES - 1)) * length
        lash_line = upper[k] + _GROWN_UP * bulge
        edge[k] = lash_line + blink * max(lower[k] - _GROWN_DOWN * bulge - lash_line, np.float32(0.0))
    source = _fit_affine(still, scene, side)
    shown = clamp01(blink / _SHOWN)
    above = int(_LID_HEIGHT * scene.scale) + 1 if blink > 0.0 else 1
    below = int(_LASH_ABOVE * scene.scale) + 1 if blink > 0.0 else 1
    beside = int(_LID_BESIDE * scene.scale) + 1 if blink > 0.0 else 1
    for y in range(max(int(top) - above, 0), min(int(bottom) + 1 + below, out.shape[0])):
        for x in range(max(int(left) - beside, 0), min(int(right) + beside + 1, out.shape[1])):
            px, py = np.float32(x + 0.5), np.float32(y + 0.5)
            along = (px - ax) * cx + (py - ay) * cy
            height = (py - ay) * cx - (px - ax) * cy
            at = along * (ENTRIES - 1) / length
            between = 0.0 < at < ENTRIES - 1
            at = min(max(at, np.float32(0.0)), np.float32(ENTRIES - 1.001))
            under_edge = height - height_at(edge, at)
            u = source[0, 0] * px + source[0, 1] * py + source[0, 2]
            v = source[1, 0] * px + source[1, 1] * py + source[1, 2]
            if between:
                under_upper, over_lower = height - height_at(upper, at), height_at(lower, at) - height
                cover = clamp01(under_upper + np.float32(0.5)) * clamp01(over_lower + np.float32(0.5))
                if cover > 0.004:
                    _paint_ball(scene, side, u, v, gaze_x, gaze_y, blink, under_edge, cover, out, y, x)
            if shown > 0.0:
                cover = shown * clamp01(np.float32(0.5) - under_edge)
                if cover > 0.004:
                    _paint_lid(scene, side, u, v, under_edge, cover, out, y, x)
                if between:
                    _paint_lashes(scene, side, at, under_edge / scene.scale, blink, shown, out, y, x)


@njit(cache=True, nogil=True, fastmath=True)
def _trace_lids(
    lids: NDArray[np.int32],
    position: NDArray[np.float32],
    cx: float,
    cy: float,
    upper: NDArray[np.float32],
    lower: NDArray[np.float32],
) -> tuple[float, float, float, float]:
    """Fill the heights of both lids below the line between the corners, pixels.

    Args:
        lids: int32 (2, 9), one eye of `Scene.lids`.
        position: float32 (V, 2), pixels.
        cx, cy: unit vector from the left corner to the right corner.
        upper, lower: float32 (ENTRIES,), filled.

    Returns:
        left, top, right, bottom of the opening, pixels.
    """
    ax, ay = position[lids[0, 0], 0], position[lids[0, 0], 1]
    points = np.empty((2, 2, 9), np.float32)
    left, right, top, bottom = np.float32(1e9), np.float32(-1e9), np.float32(1e9), np.float32(-1e9)
    for lid in range(2):
        for k in range(9):
            px, py = position[lids[lid, k], 0], position[lids[lid, k], 1]
            left, right = min(left, px), max(right, px)
            top, bottom = min(top, py), max(bottom, py)
            points[lid, 0, k] = (px - ax) * cx + (py - ay) * cy
            points[lid, 1, k] = (py - ay) * cx - (px - ax) * cy
    fill_curve(points[0, 0], points[0, 1], upper)
    fill_curve(points[1, 0], points[1, 1], lower)
    return left, top, right, bottom


@njit(cache=True, nogil=True, inline="always")
def _paint_ball(
    scene: Scene,
    side: int,
    u: float,
    v: float,
    gaze_x: float,
    gaze_y: float,
    blink: float,
    under_edge: float,
    cover: float,
    out: NDArray[np.uint8],
    y: int,
    x: int,
) -> None:
    """Paint the eye of the source image.

    The gaze moves it around the iris, and it stays still at the lids.
    """
    reach = scene.iris[side, 2] * np.float32(1.7)
    away = ((u - scene.iris[side, 0]) ** 2 + (v - scene.iris[side, 1]) ** 2) / (reach * reach)
    hold = np.exp(-away * away) * scene.scale * np.float32(2.0)
    u = min(max(u - gaze_x * hold, np.float32(0.0)), np.float32(scene.texels.shape[1] - 2))
    v = min(max(v - gaze_y * hold, np.float32(0.0)), np.float32(scene.texels.shape[0] - 2))
    fu, fv = np.int64(u * 65536.0 + 2048.0), np.int64(v * 65536.0 + 2048.0)
    i, j = fv >> 16, fu >> 16
    texels = scene.texels
    lanes = blend(texels[i, j], texels[i, j + 1], texels[i + 1, j], texels[i + 1, j + 1], fu, fv)
    depth = max(under_edge, np.float32(0.0)) / (np.float32(1.1) * scene.scale)
    shadow = _ONE - np.float32(0.35) * blink * np.exp(-depth)
    for c in range(3):
        ball = np.float32((lanes >> np.uint64(16 * c)) & np.uint64(255)) * shadow
        out[y, x, c] = np.uint8(out[y, x, c] * (_ONE - cover) + ball * cover + np.float32(0.5))


@njit(cache=True, nogil=True, inline="always")
def _paint_lid(
    scene: Scene,
    side: int,
    u: float,
    v: float,
    under_edge: float,
    cover: float,
    out: NDArray[np.uint8],
    y: int,
    x: int,
) -> None:
    """Paint the skin of the lid."""
    lid = scene.lid_skin[side]
    i = (v - scene.lid_anchor[side, 1]) * scene.lid_step[1] + np.float32(0.5 * lid.shape[0] - 0.5)
    j = (u - scene.lid_anchor[side, 0]) * scene.lid_step[0] + np.float32(0.5 * lid.shape[1] - 0.5)
    if i < 0.0 or j < 0.0 or i >= lid.shape[0] - 1 or j >= lid.shape[1] - 1:
        return
    i0, j0 = int(i), int(j)
    fi, fj = np.float32(i - i0), np.float32(j - j0)
    w11 = fi * fj
    w10, w01 = fi - w11, fj - w11
    w00 = _ONE - w11 - w10 - w01
    a, b, c, d = lid[i0, j0], lid[i0, j0 + 1], lid[i0 + 1, j0], lid[i0 + 1, j0 + 1]
    cover *= (a[3] * w00 + b[3] * w01 + c[3] * w10 + d[3] * w11) / np.float32(255.0)
    near = np.exp(min(under_edge, np.float32(0.0)) / (np.float32(1.3) * scene.scale))
    shade = np.float32(1.0) - np.float32(0.08) * near
    for k in range(3):
        skin = (a[k] * w00 + b[k] * w01 + c[k] * w10 + d[k] * w11) * shade
        out[y, x, k] = np.uint8(out[y, x, k] * (_ONE - cover) + skin * cover + np.float32(0.5))


@njit(cache=True, nogil=True, inline="always")
def _paint_lashes(
    scene: Scene,
    side: int,
    at: float,
    under_edge: float,
    blink: float,
    shown: float,
    out: NDArray[np.uint8],
    y: int,
    x: int,
) -> None:
    """Paint the lashes, `under_edge` mm below the edge of the lid. Those that stand up turn down with it."""
    band = scene.lashes[side]
    column = at * np.float32((band.shape[1] - 1) / (ENTRIES - 1))
    cover = _band_at(band, column, (under_edge + _LASH_ABOVE) * _LASH_ROWS)
    if under_edge < 0.0:
        cover *= clamp01(_ONE + under_edge * (np.float32(0.5) + blink))
    else:
        hanging = blink * clamp01(_ONE - under_edge / (_LASH_ABOVE - np.float32(0.6)))
        cover = max(cover, hanging * _band_at(band, column, (_LASH_ABOVE - under_edge) * _LASH_ROWS))
    cover *= shown
    if cover > 0.01:
        for c in range(3):
            value = out[y, x, c] * (_ONE - cover) + scene.lash[c] * cover
            out[y, x, c] = np.uint8(value + np.float32(0.5))


@njit(cache=True, nogil=True, inline="always")
def _band_at(band: NDArray[np.uint8], column: float, row: float) -> float:
    """Coverage 0..1 at a column and a row of `Scene.lashes`, 0 outside."""
    result = np.float32(0.0)
    if row >= 0.0 and row < band.shape[0] - 1:
        i, j = int(row), min(int(column), band.shape[1] - 2)
        fi, fj = np.float32(row - i), np.float32(column - j)
        above = band[i, j] * (_ONE - fj) + band[i, j + 1] * fj
        below = band[i + 1, j] * (_ONE - fj) + band[i + 1, j + 1] * fj
        result = (above * (_ONE - fi) + below * fi) / np.float32(255.0)
    return result


@njit(cache=True, nogil=True)
def _fit_affine(still: NDArray[np.float32], scene: Scene, side: int) -> NDArray[np.float32]:
    """float32 (2, 3): least-squares affine map from the lid points of this frame to their texels."""
    n = 18
    mx, my, mu, mv = 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        vertex = scene.lids[side, k // 9, k % 9]
        mx += still[k, 0] / n
        my += still[k, 1] / n
        mu += scene.texture[vertex, 0] / n
        mv += scene.texture[vertex, 1] / n
    xx, xy, yy, xu, yu, xv, yv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        vertex = scene.lids[side, k // 9, k % 9]
        x, y = still[k, 0] - mx, still[k, 1] - my
        u, v = scene.texture[vertex, 0] - mu, scene.texture[vertex, 1] - mv
        xx += x * x
        xy += x * y
        yy += y * y
        xu += x * u
        yu += y * u
        xv += x * v
        yv += y * v
    det = max(xx * yy - xy * xy, 1e-9)
    fit = np.empty((2, 3), np.float32)
    fit[0, 0] = (xu * yy - yu * xy) / det
    fit[0, 1] = (yu * xx - xu * xy) / det
    fit[1, 0] = (xv * yy - yv * xy) / det
    fit[1, 1] = (yv * xx - xv * xy) / det
    fit[0, 2] = mu - fit[0, 0] * mx - fit[0, 1] * my
    fit[1, 2] = mv - fit[1, 0] * mx - fit[1, 1] * my
    return fit
