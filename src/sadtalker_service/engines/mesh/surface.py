"""Mesh of a person: the face, and rings around it for hair, neck, shoulders and background.

The face is a disc with three holes (eyes, mouth). Rings of vertices around it carry the motion of the head
outwards until it fades. It has full strength over hair and ears, is weaker over the neck, and is zero at the
outermost ring. That ring ends at the border of the image if the border is closer. Breathing moves the rings
below the chin.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.engines.mesh.channels import CHANNELS, INDEX, channel_basis, smoothstep
from sadtalker_service.engines.mesh.faceframe import FaceFrame
from sadtalker_service.faces.topology import EYES, LANDMARKS, LOWER_LIP, OVAL, TRIANGLES, UPPER_LIP

Array = NDArray[np.float64]

# Per ring, from the face outwards: distance from the middle of the face relative to its size, up and down.
_REACH_UP = np.array([1.10, 1.28, 1.52, 1.85, 2.30])
_REACH_DOWN = np.array([1.10, 1.35, 1.80, 2.45, 3.20])
_STRETCH_UP = 0.35
"""Extra upward reach, because hair rises more than the side of the head is wide."""
_HEAD_UP = np.array([1.0, 1.0, 0.85, 0.42, 0.0])
_HEAD_DOWN = np.array([0.80, 0.48, 0.16, 0.04, 0.0])
_TORSO_DOWN = np.array([0.05, 0.35, 0.90, 0.85, 0.0])

EYE_HOLE_GROWTH = (0.055, 0.05)
"""Upper and lower lid, in eye widths. The hole is cut slightly outside the lash line, so that a closing lid
is pure skin and drags no part of the eyeball along."""

HOLES = 18 + 2 * 14
"""Triangles of mouth and eyes, the first in drawing order."""

_STEEPEST = 2.0
"""Largest depth per distance in the image. Steeper parts are seen edge-on, so the image shows too little of
them to be turned towards the viewer: they would smear on one side and fold on the other."""


@dataclass(frozen=True, eq=False)
class Surface:
    """The rig of one person: geometry in head coordinates (mm), independent of resolution."""

    rest: NDArray[np.float32]
    """float32 (V, 3): vertices as in the source image. The first 478 are the landmarks."""
    turning: NDArray[np.float32]
    """float32 (V, 3): the same vertices with the depth that head rotation uses, seen at the same place in the
    source image."""
    head: NDArray[np.float32]
    """float32 (V,): share of the head's motion, 0..1."""
    torso: NDArray[np.float32]
    """float32 (V,): share of the breathing motion of chest and shoulders, 0..1."""
    basis: NDArray[np.float32]
    """float32 (C, 478, 3): channels, mm."""
    shading: NDArray[np.float32]
    """float32 (C, V): how much each channel at full strength darkens the skin, 0..1."""
    triangles: NDArray[np.int32]
    """int32 (T, 3) in drawing order: holes, rings, then the face from back to front, lids last."""


def build_surface(
    landmarks: NDArray[np.floating], frame: FaceFrame, size: tuple[int, int], reach: float
) -> Surface:
    """Build the rig of a face.

    Args:
        landmarks: float (478, 3), pixels of the image.
        frame: the face frame of the same landmarks.
        size: (width, height) of the image, pixels.
        reach: 1 for the usual moving region, more for a wider one (`extfull`).
    """
    points = _grow_eye_holes(np.asarray(landmarks, np.float64))
    rings, head, torso = _rings(points, frame, size, reach)
    rest = frame.to_local(np.concatenate([points, rings]))
    local = rest[:LANDMARKS]
    return Surface(
        rest=rest.astype(np.float32),
        turning=_turning(rest, frame.axes).astype(np.float32),
        head=np.concatenate([np.ones(LANDMARKS), head]).astype(np.float32),
        torso=np.concatenate([np.zeros(LANDMARKS), torso]).astype(np.float32),
        basis=channel_basis(local),
        shading=_shading(rest),
        triangles=_triangles(local, len(head) // len(OVAL)),
    )


def outline(landmarks: NDArray[np.floating], frame: FaceFrame, size: tuple[int, int], reach: float) -> Array:
    """The outermost ring, float (36, 2) in pixels. Nothing moves outside it.

    Takes the same arguments as `build_surface`.
    """
    rings, _head, _torso = _rings(np.asarray(landmarks, np.float64), frame, size, reach)
    return rings[-len(OVAL) :, :2]


def _grow_eye_holes(points: Array) -> Array:
    points = points.copy()
    for eye in EYES:
        width = np.linalg.norm(points[eye.corners[0]] - points[eye.corners[1]])
        upper, lower = list(eye.upper_lid), list(eye.lower_lid)
        across = points[upper, :2] - points[lower, :2]
        across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
        bulge = np.sin(np.pi * (np.arange(7) + 1) / 8)[:, None] * width
        points[upper, :2] += across * bulge * EYE_HOLE_GROWTH[0]
        points[lower, :2] -= across * bulge * EYE_HOLE_GROWTH[1]
    return points


def _turning(rest: Array, axes: Array) -> Array:
    """The vertices (V, 3) with a depth that nowhere changes faster than `_STEEPEST` across the image."""
    seen = rest @ axes  # x, y and depth as the camera sees them, mm
    steep = np.linalg.norm(seen[:, None, :2] - seen[None, :, :2], axis=2) * _STEEPEST
    depth = (seen[:, 2] + steep).min(axis=1)
    return np.column_stack([seen[:, :2], depth]) @ axes.T


def _rings(
    points: Array, frame: FaceFrame, size: tuple[int, int], reach: float
) -> tuple[Array, Array, Array]:
    """Ring vertices (R·36, 3) in pixels, with their head and torso weights (R·36,)."""
    oval = points[list(OVAL)]
    middle = oval.mean(axis=0)
    spokes = (oval - middle)[:, :2]
    upness = -(spokes / np.linalg.norm(spokes, axis=1, keepdims=True)) @ frame.axes[1, :2]
    up = smoothstep(-0.75, 0.35, upness)[:, None]
    factors = (
        up * (1 + (_REACH_UP - 1) * (1 + _STRETCH_UP * np.clip(upness, 0, 1)[:, None]))
        + (1 - up) * _REACH_DOWN
    )
    factors = 1 + (factors - 1) * reach
    factors = _keep_inside(factors, middle[:2], spokes, size)
    head = up * _HEAD_UP + (1 - up) * _HEAD_DOWN
    torso = (1 - up) * _TORSO_DOWN
    level = np.percentile(oval[:, 2], 60)
    rings = np.empty((factors.shape[1], len(OVAL), 3))
    for r in range(factors.shape[1]):
        rings[r, :, :2] = middle[:2] + spokes * factors[:, r, None]
        rings[r, :, 2] = oval[:, 2] + (level - oval[:, 2]) * 0.6 * np.clip((_REACH_UP[r] - 1.15) / 0.8, 0, 1)
    return rings.reshape(-1, 3), head.T.reshape(-1), torso.T.reshape(-1)


def _keep_inside(factors: Array, middle: Array, spokes: Array, size: tuple[int, int]) -> Array:
    """Compress the rings on every spoke that would leave the image, so that the last ends at its border."""
    limit = np.array(size, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_border = np.where(spokes > 0, (limit - middle) / spokes, -middle / spokes)
    border = np.where(np.abs(spokes) < 1e-6, np.inf, to_border).min(axis=1)
    room = np.maximum(border - 1.0, 0.02)
    outermost = factors[:, -1] - 1.0
    kept: Array = 1.0 + (factors - 1.0) * np.minimum(1.0, room / outermost)[:, None]
    return kept


def _triangles(local: Array, rings: int) -> NDArray[np.int32]:
    holes = [_strip(UPPER_LIP[-1], LOWER_LIP[-1])]  # HOLES triangles with those of the eyes
    for eye, mirrored in zip(EYES, (False, True), strict=True):
        first, last = eye.corners
        strip = _strip((first, *eye.upper_lid, last), (first, *eye.lower_lid, last))
        holes.append(strip[:, ::-1] if mirrored else strip)
    loops = [list(OVAL)] + [list(range(LANDMARKS + 36 * r, LANDMARKS + 36 * (r + 1))) for r in range(rings)]
    bands = [_band(inner, outer) for inner, outer in pairwise(loops)]
    lids = {i for eye in EYES for i in (*eye.upper_lid, *eye.rings_above[0])}
    is_lid = np.isin(TRIANGLES, list(lids)).sum(axis=1) >= 2
    order = np.argsort(-local[TRIANGLES, 2].mean(axis=1) + np.where(is_lid, 1e5, 0.0), kind="stable")
    return np.concatenate([*holes, *bands[::-1], TRIANGLES[order]]).astype(np.int32)


def _strip(upper: tuple[int, ...], lower: tuple[int, ...]) -> NDArray[np.int32]:
    """Triangles between two chains that run from left to right and share their ends."""
    out = []
    for i in range(len(upper) - 1):
        out.append((upper[i], lower[i], upper[i + 1]))
        out.append((upper[i + 1], lower[i], lower[i + 1]))
    return np.array([t for t in out if len(set(t)) == 3], np.int32)


def _band(inner: list[int], outer: list[int]) -> NDArray[np.int32]:
    """Triangles between two closed loops that run clockwise as seen."""
    n = len(inner)
    out = [(inner[i], inner[(i + 1) % n], outer[i]) for i in range(n)]
    out += [(inner[(i + 1) % n], outer[(i + 1) % n], outer[i]) for i in range(n)]
    return np.array(out, np.int32)


def _shading(rest: Array) -> NDArray[np.float32]:
    """Darkening where skin folds or turns away from the light.

    It affects the skin under the lower lip and the cheeks when the jaw opens, the nasolabial fold when the
    corners move outwards, and the sides of a pucker.
    """
    x, y = np.abs(rest[:, 0]), rest[:, 1]
    half = float(rest[291, 0] - rest[61, 0]) / 2
    under_lip, nose = float(rest[17, 1]), float(rest[2, 1])

    def bump(cx: float, cy: float, sx: float, sy: float) -> Array:
        return np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)

    along = np.clip((y - nose) / max(1.0, -nose), 0.0, 1.0)
    fold_x = 17.0 + along * (half * 1.25 - 17.0)
    fold = (
        np.exp(-(((x - fold_x) / 5.0) ** 2))
        * smoothstep(nose - 6, nose + 4, y)
        * (1 - smoothstep(0.0, 9.0, y))
    )
    shading = np.zeros((len(CHANNELS), len(rest)))
    shading[INDEX["jaw"]] = 0.07 * bump(0.0, under_lip + 6.0, 14.0, 5.0) + 0.06 * bump(
        half * 1.35, 9.0, 9.0, 12.0
    )
    shading[INDEX["smile"]] = 0.10 * fold
    shading[INDEX["wide"]] = 0.06 * fold
    shading[INDEX["pucker"]] = 0.06 * bump(half * 1.15, 1.0, 6.0, 7.0)
    for ring in UPPER_LIP + LOWER_LIP:
        shading[:, list(ring)] = 0.0
    return shading.astype(np.float32)
