"""Find hidden parts of a face: the mouth behind a mask or a scarf, the eyes behind dark glasses or a patch.

The landmark network gives no sign of this. It places lips on a mask and eyes on black lenses with full
confidence, so the pixels must be examined. A part counts as covered only if two signs agree. Its surroundings
have a different colour from the rest of the face, and the lips or the eye barely stand out from them. Neither
sign is enough alone. Paint, beards and coloured light change the colour; blur, haze and a fine pen hide lips.
The thresholds come from measurements on photos, paintings and drawings with uncovered faces, also blurred,
faded and darkened, and on the same faces with covers added. See docs/mesh-engine.md.

Colours are CIE L*a*b* (CIE 15:2018) of sRGB under D65, where a distance of 2 is just visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sadtalker_service.domain import Uint8Image
from sadtalker_service.faces.topology import EYES, Eye

EYE_DISTANCE_MM = 90.0
"""Distance between the outer corners of the eyes."""

PIXELS_PER_MM = 2.0
"""Finer images are sampled in steps, because only patches of a few millimetres are compared."""

LIPS_SEEN = 9.0
"""Smallest colour distance between lips and the skin around them, or lightness distance between the lips and
the line between them. Uncovered lips have 10 and more, cloth of one colour at most 6.5."""

OTHER_HUE, LIGHTER, DARKER = 14.0, 8.0, -42.0
"""How far the lower face may differ from the upper face in a*b*, and in L*, before it looks like cloth.
Uncovered faces differ by up to 12.5 in hue and by -38 to 4 in lightness."""

EYE_SEEN = 0.25
"""Smallest contrast of an eye, relative to the lightness of the skin. Uncovered eyes have 0.5 and more, eyes
behind dark lenses less than 0.25."""

LENS_DARKNESS, LENS_HUE = -0.5, 25.0
"""Skin around an eye is behind a lens if it is darker than the cheeks by half, or differs from them this much
in hue."""

_RIGHT_OUTER, _LEFT_OUTER = 33, 263
_UPPER_FACE = (117, 346, 50, 280, 6, 151, 9, 101, 330)
_LOWER_FACE = (164, 18, 200, 57, 287, 212, 432, 186, 410, 43, 273, 202, 422, 83, 313)
_LIPS = (73, 72, 11, 302, 303, 90, 85, 16, 315, 320)
_LIP_BORDER = (39, 37, 0, 267, 269, 181, 84, 17, 314, 405)
_LIP_SEAM = (13, 14, 82, 87, 312, 317, 81, 178, 311, 402)
_BESIDE_LIPS_MM = 5.0
_CHEEKS = (50, 280, 205, 425, 36, 266, 142, 371, 101, 330)

Colours = NDArray[np.float64]


@dataclass(frozen=True)
class Covered:
    """Hidden parts of a face."""

    mouth: bool
    eyes: tuple[bool, bool]
    """Right and left eye, from the person's own view."""


def find_covered(pixels: Uint8Image, landmarks: NDArray[np.floating]) -> Covered:
    """Find the hidden parts of a face.

    Args:
        pixels: uint8 (H, W, 3), upright.
        landmarks: float (478, 3), pixels of the same image.
    """
    face = _Face(pixels, np.asarray(landmarks, np.float64)[:, :2])
    right, left = (_eye_covered(face, eye) for eye in EYES)
    return Covered(_mouth_covered(face), (right, left))


class _Face:
    """The part of an image that shows a face, at low resolution, in L*a*b*."""

    def __init__(self, pixels: Uint8Image, points: NDArray[np.float64]) -> None:
        """Crop and convert the face. `points` are (478, 2) pixels."""
        unit = float(np.linalg.norm(points[_LEFT_OUTER] - points[_RIGHT_OUTER])) / EYE_DISTANCE_MM
        step = max(1, int(unit / PIXELS_PER_MM))
        size = np.array([pixels.shape[1], pixels.shape[0]])
        low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, size - 1)
        high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, low + 1, size)
        self.colours = to_lab(pixels[low[1] : high[1] : step, low[0] : high[0] : step])
        """(h, w, 3)"""
        self.points = (points - low) / step
        self.unit = unit / step
        """Pixels of `colours` per millimetre."""

    def patches(self, centres: NDArray[np.float64], radius_mm: float) -> Colours:
        """(n, 3): median colour of the square around each of (n, 2) points.

        A point outside the face is moved to its border.
        """
        height, width = self.colours.shape[:2]
        radius = int(radius_mm * self.unit)
        out = []
        for x, y in np.clip(np.rint(centres).astype(int), 0, [width - 1, height - 1]):
            part = self.colours[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
            out.append(np.median(part.reshape(-1, 3), axis=0))
        return np.array(out)

    def at(self, indices: Sequence[int], radius_mm: float) -> Colours:
        """(n, 3): the colours at landmarks."""
        return self.patches(self.points[list(indices)], radius_mm)


def _mouth_covered(face: _Face) -> bool:
    upper, lower = (np.median(face.at(part, 1.5), axis=0) for part in (_UPPER_FACE, _LOWER_FACE))
    lightness, *hue = lower - upper
    looks_like_cloth = np.hypot(*hue) > OTHER_HUE or not DARKER <= lightness <= LIGHTER
    return bool(looks_like_cloth) and not _lips_are_seen(face)


def _lips_are_seen(face: _Face) -> bool:
    """Whether the lips differ in colour from their surroundings, or have a visible line between them."""
    border = face.points[list(_LIP_BORDER)]
    outwards = border - face.points[[13, 14]].mean(axis=0)
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
    around = face.patches(border + outwards * _BESIDE_LIPS_MM * face.unit, 0.8)
    lips = face.at(_LIPS, 0.8)
    seam = face.at(_LIP_SEAM, 0.4).mean(axis=0) - lips.mean(axis=0)
    return bool(np.linalg.norm((lips - around).mean(axis=0)) >= LIPS_SEEN or abs(seam[0]) >= LIPS_SEEN)


def _eye_covered(face: _Face, eye: Eye) -> bool:
    skin = np.median(face.at(_CHEEKS, 1.5), axis=0)
    rings = (*eye.rings_above[0][1:6], *eye.rings_below[0][1:6], *eye.rings_below[1][1:6])
    around = np.median(face.at(rings, 1.0), axis=0)
    level = max(10.0, float(skin[0]))
    behind_lens = (around - skin)[0] / level < LENS_DARKNESS or np.hypot(*(around - skin)[1:]) > LENS_HUE
    if not behind_lens:
        return False
    inside = _opening(face, eye)[:, 0]
    spread = float(np.ptp(np.percentile(inside, [8, 92])))
    iris = float(np.linalg.norm(face.at(eye.iris[:1], 1.5)[0] - around))
    return min(spread, iris) / level < EYE_SEEN


def _opening(face: _Face, eye: Eye) -> Colours:
    """(n, 3): colours between the lids, or those of the landmarks themselves if the opening is too narrow."""
    height, width = face.colours.shape[:2]
    mask = Image.new("L", (width, height))
    corners = [(float(x), float(y)) for x, y in face.points[list(eye.contour)]]
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    inside = face.colours[np.asarray(mask) > 0]
    return inside if len(inside) else face.at(eye.contour, 0.0)


def to_lab(pixels: Uint8Image) -> Colours:
    """float64 (..., 3): L* 0..100, a*, b* of uint8 sRGB (IEC 61966-2-1, white D65)."""
    xyz = _LINEAR[pixels] @ _TO_XYZ.T
    root = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(root, -1, 0)
    lab: Colours = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
    return lab


def _linear() -> NDArray[np.float64]:
    """(256,): linear light, 0..1, of each level."""
    levels = np.arange(256) / 255
    linear: NDArray[np.float64] = np.where(
        levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4
    )
    return linear


_LINEAR = _linear()
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])
"""Relative to white."""
