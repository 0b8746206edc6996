"""Eyes: the eyeball stays behind the lids, looks about a little, and a lash line closes over it."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.contour import ENTRIES, clamp01, fill_curve, height_at
from sadtalker_service.engines.mesh.kernels.raster import sample
from sadtalker_service.engines.mesh.kernels.scene import Scene

_ONE = np.float32(1.0)


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
    """One eyeball between its lids, and the lash line of a closing lid.

    Args:
        scene: the constant part.
        side: 0 right, 1 left.
        position: float32 (V, 2), vertices of this frame in pixels of `out`.
        still: float32 (18, 2), where the lid points of `scene.lids[side]` would be if the eye were as in the photo.
        blink: 0 open .. 1 closed.
        gaze_x, gaze_y: how far the iris looks away from where the photo looks, mm.
        out: uint8 (H, W, 3), painted in place.
    """
    lids = scene.lids[side]
    ax, ay = position[lids[0, 0], 0], position[lids[0, 0], 1]
    bx, by = position[lids[0, 8], 0], position[lids[0, 8], 1]
    length = np.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
    if length < 2.0:
        return
    cx, cy = (bx - ax) / length, (by - ay) / length
    points = np.empty((2, 2, 9), np.float32)
    left, right, top, bottom = np.float32(1e9), np.float32(-1e9), np.float32(1e9), np.float32(-1e9)
    for lid in range(2):
        for k in range(9):
            px, py = position[lids[lid, k], 0], position[lids[lid, k], 1]
            left, right = min(left, px), max(right, px)
            top, bottom = min(top, py), max(bottom, py)
            points[lid, 0, k] = (px - ax) * cx + (py - ay) * cy
            points[lid, 1, k] = (py - ay) * cx - (px - ax) * cy
    upper = np.empty(ENTRIES, np.float32)
    lower = np.empty(ENTRIES, np.float32)
    fill_curve(points[0, 0], points[0, 1], upper)
    fill_curve(points[1, 0], points[1, 1], lower)
    to_source = _fit_affine(still, scene, side)
    reach = scene.iris[side, 2] * np.float32(1.7)
    shift_x = gaze_x * scene.scale * np.float32(2.0)
    shift_y = gaze_y * scene.scale * np.float32(2.0)
    u_max, v_max = np.float32(scene.texels.shape[1] - 2), np.float32(scene.texels.shape[0] - 2)
    lash = clamp01((blink - np.float32(0.2)) / np.float32(0.5)) * np.float32(0.8)
    reach_out = int(scene.scale * 2.0) + 2
    for y in range(max(int(top) - reach_out, 0), min(int(bottom) + reach_out, out.shape[0])):
        for x in range(max(int(left) - 1, 0), min(int(right) + 2, out.shape[1])):
            px, py = np.float32(x + 0.5), np.float32(y + 0.5)
            along = (px - ax) * cx + (py - ay) * cy
            height = (py - ay) * cx - (px - ax) * cy
            at = along * (ENTRIES - 1) / length
            if at <= 0.0 or at >= ENTRIES - 1:
                continue
            under_upper = height - height_at(upper, at)
            over_lower = height_at(lower, at) - height
            alpha = clamp01(under_upper + np.float32(0.5)) * clamp01(over_lower + np.float32(0.5))
            if alpha > 0.004:
                u = to_source[0, 0] * px + to_source[0, 1] * py + to_source[0, 2]
                v = to_source[1, 0] * px + to_source[1, 1] * py + to_source[1, 2]
                away = ((u - scene.iris[side, 0]) ** 2 + (v - scene.iris[side, 1]) ** 2) / (reach * reach)
                hold = np.exp(-away * away)
                u = min(max(u - shift_x * hold, np.float32(0.0)), u_max)
                v = min(max(v - shift_y * hold, np.float32(0.0)), v_max)
                lanes = sample(scene.texels, np.int64(u * 65536.0 + 2048.0), np.int64(v * 65536.0 + 2048.0))
                shadow = _ONE - np.float32(0.35) * blink * np.exp(
                    -max(under_upper, np.float32(0.0)) / (np.float32(1.1) * scene.scale)
                )
                for c in range(3):
                    ball = np.float32((lanes >> np.uint64(16 * c)) & np.uint64(255)) * shadow
                    out[y, x, c] = np.uint8(out[y, x, c] * (_ONE - alpha) + ball * alpha + np.float32(0.5))
            if lash > 0.0:
                swell = np.sin(np.float32(np.pi) * at / (ENTRIES - 1))
                thick = scene.scale * (np.float32(0.22) + np.float32(0.42) * swell) + np.float32(0.2)
                off = (under_upper - np.float32(0.3) * thick) / thick
                cover = lash * np.exp(-off * off)
                if cover > 0.01:
                    for c in range(3):
                        value = out[y, x, c] * (_ONE - cover) + scene.lash[c] * cover
                        out[y, x, c] = np.uint8(value + np.float32(0.5))


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
