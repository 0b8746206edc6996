"""Articulators of the rig: how each one moves the face at full strength.

A channel is a displacement of the 478 landmarks in head coordinates (mm). Channels add up. Amplitudes follow
articulatory phonetics (jaw 10 mm, lips 3-4 mm, protrusion 5 mm). The spatial weights are smooth bumps around
the mouth, the eyes and the brows. They are averaged over the mesh except at the lips and lids, which need
sharp detail.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.faces.topology import (
    BROWS,
    EYES,
    LANDMARKS,
    LOWER_LIP,
    MESH_LANDMARKS,
    TRIANGLES,
    UPPER_LIP,
)

CHANNELS = (
    "jaw",  # opens: the chin drops by 10 mm
    "upper_lip",  # the upper lip rises by 3 mm
    "lower_lip",  # the lower lip drops by 4 mm
    "wide",  # each corner 3.6 mm outwards, inwards if negative
    "pucker",  # lips 5 mm forward and thicker
    "press",  # lips pressed thin
    "tuck",  # lower lip under the upper teeth
    "smile",  # corners 3 mm outwards and up
    "blink_right",  # lid closed
    "blink_left",
    "brow",  # brows 3 mm up
    "squint",  # lower lids up
)
INDEX = {name: i for i, name in enumerate(CHANNELS)}

Vector = NDArray[np.float64]
_CORNERS = (61, 76, 62, 78, 291, 306, 292, 308)
_JAW_SIDES = (172, 397)
_CHIN, _SUBNASAL, _NOSE_BASE, _UNDER_LIP = 152, 2, 0, 17


def smoothstep(low: float, high: float, x: Vector) -> Vector:
    """0 below `low`, 1 above `high`, a cubic in between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def channel_basis(local: NDArray[np.floating]) -> NDArray[np.float32]:
    """Displacements of every channel at full strength.

    Args:
        local: float (478, 3), landmarks in head coordinates, mm (`FaceFrame.to_local`).

    Returns:
        float32 (C, 478, 3), mm, in the order of `CHANNELS`.
    """
    face = _Face(np.asarray(local, np.float64))
    basis = np.zeros((len(CHANNELS), LANDMARKS, 3))
    _jaw(basis[INDEX["jaw"]], face)
    _lips(basis, face)
    _corners(basis, face)
    _tuck(basis, face)
    _eyes(basis, face)
    _brows(basis[INDEX["brow"]], face)
    flat = basis.transpose(1, 0, 2).reshape(LANDMARKS, -1)  # one product for all channels
    smooth = (_smoothing(3) @ flat).reshape(LANDMARKS, len(CHANNELS), 3)
    return np.ascontiguousarray(smooth.transpose(1, 0, 2), np.float32)


class _Face:
    """Regions and coordinates that several channels use."""

    def __init__(self, local: Vector) -> None:
        self.local = local
        self.x, self.y = local[:, 0], local[:, 1]
        self.half_width = float(local[291, 0] - local[61, 0]) / 2
        self.lateral = np.abs(self.x) / self.half_width
        self.half_jaw = float(local[_JAW_SIDES[1], 0] - local[_JAW_SIDES[0], 0]) / 2
        self.line = (local[61, 1] + local[291, 1]) / 2
        self.chin = float(local[_CHIN, 1])
        self.upper, self.lower, self.corner = (np.zeros(LANDMARKS, bool) for _ in range(3))
        for ring in UPPER_LIP:
            self.upper[list(ring)] = True
        for ring in LOWER_LIP:
            self.lower[list(ring)] = True
        self.corner[list(_CORNERS)] = True
        self.upper[self.corner] = self.lower[self.corner] = False
        self.skin = ~(self.upper | self.lower | self.corner)
        self.skin[MESH_LANDMARKS:] = False
        # distance beyond the lips, relative to the size of the mouth
        beyond = np.maximum(0.0, np.hypot(self.x, self.y / 0.9) / self.half_width - 0.95)
        self.near = np.exp(-(beyond**2) / 0.35)
        self.near[MESH_LANDMARKS:] = 0.0
        self.side = np.clip(self.x / self.half_width, -1.0, 1.0)
        self.below = self.skin & (self.y > self.line) & (self.y < self.chin * 0.8)
        self.under_lip = np.exp(-((self.x / (self.half_width * 0.8)) ** 2)) * (
            1 - smoothstep(local[_UNDER_LIP, 1], self.chin * 0.7, self.y)
        )


def _jaw(out: Vector, face: _Face) -> None:
    """Hinge motion: full at the chin, less at the sides of the face, two fifths at the mouth corners."""
    x, y, lateral = face.x, face.y, face.lateral
    outwards = np.abs(x) / face.half_jaw  # a small or a smiling mouth does not change the jaw
    weight = smoothstep(-2.0, face.chin * 0.35, y) * (0.12 + 0.88 * (1 - smoothstep(0.40, 1.02, outwards)))
    # The opening is an oval: both lips bend into the corners, which go down two fifths of the way.
    weight[face.upper] = (0.40 * smoothstep(0.62, 1.08, lateral))[face.upper]
    weight[face.lower] = (0.40 + 0.60 * np.sqrt(np.clip(1.0 - lateral**2.4, 0.0, 1.0)))[face.lower]
    weight[face.corner] = 0.40
    cheek = face.skin & (lateral > 0.9) & (np.abs(y) < face.chin * 0.35)
    follow = 0.40 * (1 - smoothstep(0.9, 1.9, lateral)) * smoothstep(-14.0, 2.0, y)
    weight[cheek] = np.maximum(weight, follow)[cheek]
    weight[MESH_LANDMARKS:] = 0.0
    out[:, 0] = -np.sign(x) * weight * smoothstep(0.4, 1.0, lateral)
    out[:, 1] = 10.0 * weight
    out[:, 2] = 2.5 * weight
    for corner in (61, 291):  # an open mouth draws its corners in
        bump = np.exp(-((x - x[corner]) ** 2 + (y - y[corner]) ** 2) / (2 * 6.0**2))
        out[:, 0] -= np.sign(x[corner]) * 1.8 * bump
    out[MESH_LANDMARKS:] = 0.0


def _lips(basis: Vector, face: _Face) -> None:
    """Raise the upper lip, drop the lower lip, pucker and press."""
    x, y, lateral = face.x, face.y, face.lateral
    nose = face.local[_SUBNASAL, 1]
    bell = np.exp(-((x / (face.half_width * 0.9)) ** 2))
    rise = np.where(face.upper, 1 - 0.75 * smoothstep(0.3, 1.0, lateral), 0.0)
    philtrum = face.skin & (y < face.line) & (y > nose - 2)
    rise[philtrum] = (smoothstep(nose - 1, face.local[_NOSE_BASE, 1] + 1, y) * 0.8 * bell)[philtrum]
    basis[INDEX["upper_lip"], :, 1] = -3.0 * rise
    drop = np.where(face.lower, 1 - 0.7 * smoothstep(0.3, 1.0, lateral), 0.0)
    fade = 1 - smoothstep(face.local[_UNDER_LIP, 1], face.chin * 0.75, y)
    drop[face.below] = (fade * 0.8 * bell)[face.below]
    basis[INDEX["lower_lip"], :, 1] = 4.0 * drop

    pucker, press = basis[INDEX["pucker"]], basis[INDEX["press"]]
    pucker[:, 2] = -5.0 * np.exp(-(lateral**2)) * face.near
    for k, (upper, lower) in enumerate(zip(UPPER_LIP, LOWER_LIP, strict=True)):
        u, low = list(upper[1:-1]), list(lower[1:-1])
        pucker[u, 1] -= (1.2, 0.9, 0.4, 0.0)[k]  # the red of the lips rolls outwards
        pucker[low, 1] += (1.6, 1.2, 0.6, 0.1)[k]
        press[u, 1] += (0.9, 0.75, 0.5, 0.25)[k]  # and inwards
        press[low, 1] -= (1.5, 1.1, 0.7, 0.25)[k]
    press[:, 0] = 0.5 * face.side * face.near
    press[face.below, 1] -= 1.1 * face.under_lip[face.below]


def _corners(basis: Vector, face: _Face) -> None:
    """Spread and smile."""
    wide, smile = basis[INDEX["wide"]], basis[INDEX["smile"]]
    wide[:, 0] = 3.6 * face.side * face.near
    wide[:, 2] = 1.2 * np.abs(face.side) * face.near
    wide[face.upper, 1] += 0.5 * (1 - face.lateral[face.upper])
    wide[face.lower, 1] -= 0.6 * (1 - face.lateral[face.lower])
    for sign, corner in ((-1.0, 61), (1.0, 291)):
        bump = np.exp(-((face.x - face.x[corner]) ** 2 + (face.y - face.y[corner]) ** 2) / (2 * 11.0**2))
        bump[MESH_LANDMARKS:] = 0.0
        smile[:, 0] += sign * 3.0 * bump
        smile[:, 1] -= 3.0 * bump


def _tuck(basis: Vector, face: _Face) -> None:
    """F and V: the lower lip moves up and under the teeth, the upper lip yields."""
    tuck = basis[INDEX["tuck"]]
    for k, ring in enumerate(LOWER_LIP):
        inner = list(ring[1:-1])
        tuck[inner, 1] -= (1.6, 1.7, 1.8, 1.5)[k] * (1 - 0.6 * smoothstep(0.3, 1.0, face.lateral[inner]))
    tuck[face.below, 1] -= 1.4 * face.under_lip[face.below]
    tuck += 0.75 * basis[INDEX["upper_lip"]]


def _eyes(basis: Vector, face: _Face) -> None:
    """Blink and squint. Squinting lifts the lower lid.

    The renderer draws a blink as skin that comes down over the eyeball. Around it, only the lower lid moves,
    and only slightly. What is above may be the frame of glasses.
    """
    local = face.local
    for eye, name in zip(EYES, ("blink_right", "blink_left"), strict=True):
        blink, squint = basis[INDEX[name]], basis[INDEX["squint"]]
        upper, lower = list(eye.upper_lid), list(eye.lower_lid)
        opening = local[lower] - local[upper]
        opening[:, 2] = 0.0
        blink[lower] = -0.04 * opening
        squint[lower] = -0.25 * opening
        squint[upper] = 0.08 * opening


def _brows(out: Vector, face: _Face) -> None:
    for brow in BROWS:
        distance = np.linalg.norm(face.local[:, None, :2] - face.local[list(brow), :2], axis=2).min(axis=1)
        out[:, 1] = np.minimum(out[:, 1], -3.0 * np.exp(-(distance**2) / (2 * 9.0**2)))
    out[MESH_LANDMARKS:] = 0.0
    for eye in EYES:
        out[[*eye.upper_lid, *eye.lower_lid], 1] *= 0.08
        out[list(eye.rings_above[0]), 1] *= 0.35


@lru_cache(maxsize=1)
def _smoothing(rounds: int) -> Vector:
    """float64 (478, 478): averages each landmark with its neighbours `rounds` times.

    Lips and lids are fixed.
    """
    fixed = {i for ring in UPPER_LIP + LOWER_LIP for i in ring}
    for eye in EYES:
        fixed |= {*eye.contour, *eye.rings_above[0]}
    adjacency = np.zeros((LANDMARKS, LANDMARKS))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        adjacency[TRIANGLES[:, a], TRIANGLES[:, b]] = adjacency[TRIANGLES[:, b], TRIANGLES[:, a]] = 1.0
    degree = adjacency.sum(axis=1)
    step = np.eye(LANDMARKS)
    free = [v for v in range(MESH_LANDMARKS) if v not in fixed and degree[v] > 0]
    step[free] = 0.6 * adjacency[free] / degree[free, None]
    step[free, free] += 0.4
    return np.linalg.matrix_power(step, rounds)
