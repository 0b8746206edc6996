"""Composites the inside of the mouth into a frame."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.kernels.contour import ENTRIES, clamp01, fill_curve, height_at
from sadtalker_service.engines.mesh.kernels.scene import Scene

_ONE = np.float32(1.0)
_EDGE = np.float32(0.35)
"""Coverage of the opening at the edge of a lip."""
_CORNER = np.float32(3.0)
"""In the last millimetres before the corners the line between the lips fades into that of the image."""
_PUCKERED = np.float32(0.4)
"""Share of the shadow in the mouth when the lips are fully pursed. Half of that has none."""
_LOWER_TEETH = np.float32(2.8)
"""How far the lower teeth are below the upper teeth when the jaw is closed, mm."""


@njit(cache=True, nogil=True, fastmath=True)
def draw_mouth(
    scene: Scene,
    position: NDArray[np.float32],
    place: NDArray[np.float32],
    jaw: float,
    tongue: float,
    pucker: float,
    moved: float,
    out: NDArray[np.uint8],
) -> None:
    """Draw teeth, tongue and cavity between the lips, and a soft line where the lips are closed.

    Args:
        scene: the constant part.
        position: float32 (V, 2), vertices of this frame in pixels of `out`.
        place: float32 (2, 3). Point (x, y) mm of the mouth is at pixel place @ (x, y, 1). The upper teeth
            hang at y = 0.
        jaw: how far the jaw is open, mm.
        tongue: 0 down, 1 with its tip at the teeth.
        pucker: 0 to 1. Lips that come far forward put the teeth into their shadow.
        moved: 0 for the mouth of the source image, which is left as it is, to 1.
        out: uint8 (H, W, 3), painted in place.
    """
    det = place[0, 0] * place[1, 1] - place[0, 1] * place[1, 0]
    if abs(det) < 1e-6:
        return
    upper = np.empty(ENTRIES, np.float32)
    lower = np.empty(ENTRIES, np.float32)
    (left, top, right, bottom), start, end, gap = _trace_lips(scene.lips, position, place, upper, lower)
    half = np.float32(0.5) * (end - start)
    middle = np.float32(0.5) * (start + end)
    per_mm = (ENTRIES - 1) / (end - start)
    sharp = scene.scale * np.float32(0.8)  # a lip's edge is slightly wider than a pixel
    if moved <= 0.0:
        return
    fade = moved * clamp01((gap - np.float32(0.12)) / np.float32(0.6))
    closed = moved * np.float32(0.8) * (_ONE - clamp01((gap - np.float32(0.3)) / np.float32(1.2)))
    half_seam = np.float32(0.45) + np.float32(0.35) / scene.scale  # mm, at least a third of a pixel
    lower_at = jaw + _LOWER_TEETH
    tongue_at = jaw * np.float32(0.8) - np.float32(4.2) - tongue * np.float32(2.5)
    shadow = _PUCKERED * clamp01(np.float32(2.0) * pucker - _ONE)
    lifted = clamp01((tongue - np.float32(0.55)) * np.float32(2.0))
    layer = np.empty(4, np.float32)
    colour = np.empty(3, np.float32)
    for y in range(max(int(top) - 2, 0), min(int(bottom) + 3, out.shape[0])):
        for x in range(max(int(left) - 2, 0), min(int(right) + 3, out.shape[1])):
            dx = np.float32(x + 0.5) - place[0, 2]
            dy = np.float32(y + 0.5) - place[1, 2]
            mx = (place[1, 1] * dx - place[0, 1] * dy) / det
            my = (place[0, 0] * dy - place[1, 0] * dx) / det
            at = (mx - start) * per_mm
            if at <= 0.0 or at >= ENTRIES - 1:
                continue
            under_upper = my - height_at(upper, at)
            over_lower = height_at(lower, at) - my
            across = (mx - middle) / half
            if closed > 0.0:
                inwards = (_ONE - abs(across)) * half
                line = closed * _seam(under_upper - over_lower, half_seam) * clamp01(inwards / _CORNER)
                if line > 0.01:
                    for c in range(3):
                        value = out[y, x, c] * (_ONE - line) + scene.seam[c] * line
                        out[y, x, c] = np.uint8(value + np.float32(0.5))
            alpha = fade * clamp01(under_upper * sharp + _EDGE) * clamp01(over_lower * sharp + _EDGE)
            if alpha <= 0.004:
                continue
            deep = _depth(mx, my, jaw)
            for c in range(3):
                colour[c] = scene.cavity[c] * (_ONE - np.float32(0.72) * deep)
            _over(scene.tongue, scene.anchors[2], scene.density, mx, my - tongue_at, _ONE, layer, colour)
            _over(scene.lower, scene.anchors[1], scene.density, mx, my - lower_at, _ONE, layer, colour)
            if lifted > 0.0:
                _over(
                    scene.tongue, scene.anchors[2], scene.density, mx, my - tongue_at, lifted, layer, colour
                )
            _over(scene.upper, scene.anchors[0], scene.density, mx, my, _ONE, layer, colour)
            light = _light(under_upper, over_lower, across) * alpha
            for c in range(3):
                shaded = colour[c] * (_ONE - shadow) + scene.cavity[c] * shadow
                value = out[y, x, c] * (_ONE - alpha) + shaded * light + np.float32(0.5)
                out[y, x, c] = np.uint8(min(max(value, np.float32(0.0)), np.float32(255.0)))


@njit(cache=True, nogil=True, fastmath=True)
def _trace_lips(
    lips: NDArray[np.int32],
    position: NDArray[np.float32],
    place: NDArray[np.float32],
    upper: NDArray[np.float32],
    lower: NDArray[np.float32],
) -> tuple[tuple[float, float, float, float], float, float, float]:
    """Fill the heights of the inner edges of both lips, mm in the plane of the teeth.

    Args:
        lips: int32 (2, 11), see `Scene`.
        position, place: see `draw_mouth`.
        upper, lower: float32 (ENTRIES,), filled.

    Returns:
        left, top, right, bottom of the opening, pixels; x of its corners and its largest height, mm.
    """
    det = place[0, 0] * place[1, 1] - place[0, 1] * place[1, 0]
    points = np.empty((2, 2, 11), np.float32)  # lip, x or y, point
    left, right, top, bottom = np.float32(1e9), np.float32(-1e9), np.float32(1e9), np.float32(-1e9)
    for lip in range(2):
        for k in range(11):
            px, py = position[lips[lip, k], 0], position[lips[lip, k], 1]
            left, right = min(left, px), max(right, px)
            top, bottom = min(top, py), max(bottom, py)
            dx, dy = px - place[0, 2], py - place[1, 2]
            points[lip, 0, k] = (place[1, 1] * dx - place[0, 1] * dy) / det
            points[lip, 1, k] = (place[0, 0] * dy - place[1, 0] * dx) / det
    gap = np.float32(0.0)
    for k in range(3, 8):
        gap = max(gap, points[1, 1, k] - points[0, 1, k])
    start, end = points[0, 0, 0], points[0, 0, 10]
    fill_curve(points[0, 0], points[0, 1], upper)
    fill_curve(points[1, 0], points[1, 1], lower)
    return (left, top, right, bottom), start, end, gap


@njit(cache=True, nogil=True, inline="always")
def _seam(gap: float, half_width: float) -> float:
    """Strength 0..1 of the line between closed lips. `gap` is the gap between both lips, mm."""
    off = np.float32(0.5) * gap / half_width
    return np.exp(-off * off)


@njit(cache=True, nogil=True, inline="always")
def _depth(x: float, y: float, jaw: float) -> float:
    """How dark the cavity is, 0..1. It is darkest in the middle, halfway down to the lower teeth."""
    below = y - jaw * np.float32(0.5) - np.float32(4.0)
    return np.exp(-((x / np.float32(15.0)) ** 2) - (below / np.float32(9.0)) ** 2)


@njit(cache=True, nogil=True, inline="always")
def _light(under_upper: float, over_lower: float, across: float) -> float:
    """Light in the mouth, which falls off near the lips, under the upper lip, and in the corners."""
    near = clamp01(min(under_upper, over_lower * np.float32(1.3)) / np.float32(2.2))
    shadow = np.float32(0.74) + np.float32(0.26) * clamp01(under_upper / np.float32(3.2))
    corner = clamp01((abs(across) - np.float32(0.45)) / np.float32(0.55))
    return (np.float32(0.66) + np.float32(0.34) * near) * shadow * (_ONE - np.float32(0.55) * corner * corner)


@njit(cache=True, nogil=True, inline="always")
def _over(
    picture: NDArray[np.uint8],
    anchor: NDArray[np.float32],
    density: float,
    x: float,
    y: float,
    strength: float,
    layer: NDArray[np.float32],
    colour: NDArray[np.float32],
) -> None:
    """Composite the layer's point (x, y) mm over `colour`. `layer` is a scratch buffer."""
    u = x * density + anchor[0] - np.float32(0.5)
    v = y * density + anchor[1] - np.float32(0.5)
    if u < 0.0 or v < 0.0 or u >= picture.shape[1] - 1 or v >= picture.shape[0] - 1:
        return
    i, j = int(v), int(u)
    fy, fx = np.float32(v - i), np.float32(u - j)
    for c in range(4):
        over = picture[i, j, c] * (_ONE - fx) + picture[i, j + 1, c] * fx
        under = picture[i + 1, j, c] * (_ONE - fx) + picture[i + 1, j + 1, c] * fx
        layer[c] = over * (_ONE - fy) + under * fy
    rest = _ONE - strength * layer[3] / np.float32(255.0)
    for c in range(3):
        colour[c] = colour[c] * rest + layer[c] * strength
