"""Inside of an open mouth: two arches of teeth, a tongue, and the dark cavity behind them.

It is drawn once per avatar as small images in millimetres of the head, in the light of the scene (`tone.py`).
If the source image shows teeth, they are kept and the arch is drawn around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.mesh.faceframe import FaceFrame, RestMouth
from sadtalker_service.engines.mesh.tone import LUMA, Tone
from sadtalker_service.faces.topology import LOWER_LIP, UPPER_LIP

DENSITY = 6.0
"""Pixels per millimetre of the images."""

Layer = NDArray[np.uint8]
"""uint8 (h, w, 4): RGB premultiplied by alpha, and alpha."""
Field = NDArray[np.float64]

_UPPER_TEETH = ((8.2, 1.5, 0.55), (6.2, 1.0, 0.6), (6.6, 1.3, 1.1), (5.2, 0.6, 0.9), (4.0, 0.2, 0.6))
_LOWER_TEETH = ((5.2, 0.6, 0.3), (5.4, 0.7, 0.3), (5.8, 0.5, 0.7), (5.2, 1.2, 0.7), (4.0, 1.6, 0.5))
"""From the middle outwards: width, height of the cutting edge, rounding of its corners, mm."""
_ARCHES = {"upper": (_UPPER_TEETH, -0.004, 9.5, 1.0), "lower": (_LOWER_TEETH, 0.006, 8.0, -1.0)}
"""Teeth, curvature of the row (1/mm), length of a tooth (mm), and 1 for hanging or -1 for standing teeth."""


_SHADOW = np.array([30.0, 12.0, 13.0])
"""Colour of what no light reaches, between the teeth and the cheeks."""
_SHADED = np.array([0.86, 0.82, 0.78])
"""The lower teeth lie in the shadow of lip and tongue and take on their colour."""


@dataclass(frozen=True, eq=False)
class MouthInterior:
    """Images of the inside of the mouth. `ORIGIN` gives the position of each one's origin."""

    upper: Layer
    lower: Layer
    tongue: Layer
    cavity: NDArray[np.float32]
    """float32 (3,) RGB of the lit walls."""
    line: float
    """Height of the line between closed lips in head coordinates, mm. The upper teeth hang from it."""


ORIGIN = {"upper": (28.0, 10.0), "lower": (26.0, 4.0), "tongue": (22.0, 4.0)}
"""Distance from the left and top border of an image to its origin, mm."""
SIZE = {"upper": (56.0, 24.0), "lower": (52.0, 15.0), "tongue": (44.0, 26.0)}
"""Width and height of an image, mm."""


def draw_mouth_interior(
    pixels: Uint8Image, frame: FaceFrame, local: Field, mouth: RestMouth, tone: Tone
) -> MouthInterior:
    """Draw the inside of a mouth.

    Args:
        pixels: uint8 (H, W, 3), the image that `frame` belongs to.
        frame: face frame in pixels of that image.
        local: float (478, 3) landmarks in head coordinates, mm.
        mouth: the mouth of the source image.
        tone: colours of the scene.
    """
    light = float(np.clip(0.55 + 0.5 * (tone.skin @ LUMA) / 200.0, 0.45, 1.1))
    parted = mouth.opening >= 1.2
    line = float(local[13, 1] + 0.4 if parted else (local[13, 1] + local[14, 1]) / 2)
    upper = _arch("upper", tone.tooth)
    lower = _arch("lower", tone.tooth * _SHADED)
    upper = _add_gums(upper, np.array([150.0, 88.0, 92.0]) * light)
    if mouth.opening > 2.5:
        upper, lower = _keep_photographed_teeth(upper, lower, pixels, frame, local, line, tone)
    tongue = _tongue(np.array([160.0, 84.0, 88.0]) * 0.62 * light + 0.10 * tone.lip)
    cavity = np.array([46.0, 18.0, 22.0]) * np.clip(light, 0.5, 1.0) + 0.10 * tone.lip * light
    return MouthInterior(
        _to_layer(upper), _to_layer(lower), _to_layer(tongue), cavity.astype(np.float32), line
    )


def _grid(name: str) -> tuple[Field, Field]:
    """Coordinates x, y in mm of the pixel centres of an image."""
    width, height = SIZE[name]
    x = (np.arange(round(width * DENSITY)) + 0.5) / DENSITY - ORIGIN[name][0]
    y = (np.arange(round(height * DENSITY)) + 0.5) / DENSITY - ORIGIN[name][1]
    return np.meshgrid(x, y)


def _arch(name: str, colour: Field) -> Field:
    """A row of teeth, float (h, w, 4), not premultiplied."""
    shade, alpha = _arch_shape(name)
    lit = shade[..., None] * colour + (1.0 - shade[..., None]) * _SHADOW
    return np.dstack([lit, alpha])


@lru_cache(maxsize=2)
def _arch_shape(name: str) -> tuple[Field, Field]:
    """Brightness and coverage of a row of teeth, float (h, w) each. The same for all faces."""
    teeth, curve, length, direction = _ARCHES[name]
    x, y = _grid(name)
    alpha, shade = np.zeros(x.shape), np.zeros(x.shape)
    start = 0.0
    for width, edge, rounding in teeth:
        centre, half = start + width / 2, width / 2
        start += width
        for side in (-1.0, 1.0):
            across = np.abs(x[0] * side - centre) / half
            columns = across < 1.2
            across = across[columns]
            depth = (edge + curve * centre**2 - y[:, columns]) * direction  # from the edge towards the root
            corner = np.clip((across - 0.55) / 0.45, 0, 1) ** 2 * rounding
            cover = np.clip((depth - corner) * DENSITY * 0.9 + 0.5, 0, 1)
            cover *= np.clip((1.0 - across) * half * DENSITY * 0.9 + 0.8, 0, 1)
            cover *= np.clip((length - depth) * DENSITY * 0.5 + 0.5, 0, 1)
            rounded = 1 - 0.07 * np.clip(across, 0, 1) ** 2 - 0.09 * np.clip(across, 0, 1) ** 6
            relief = rounded * _along_arch(np.abs(x[0][columns]))
            relief = relief * (0.93 + 0.07 * np.clip(depth / 2.5, 0, 1))  # the translucent edge
            relief *= 1 - 0.35 * np.clip((depth - length * 0.55) / (length * 0.45), 0, 1)
            shade[:, columns] = np.where(cover > alpha[:, columns], relief, shade[:, columns])
            alpha[:, columns] = np.maximum(alpha[:, columns], cover)
    end = start - teeth[-1][0]
    return shade, alpha * np.clip((start - np.abs(x)) / (start - end + 2.0), 0.0, 1.0)


def _along_arch(x: Field) -> Field:
    """Light on teeth at a distance from the middle, mm. The arch turns away into the shadow of the cheek."""
    turned: Field = 1.0 - 0.72 * np.clip((x - 3.0) / 18.0, 0.0, 1.0) ** 1.3
    return turned


def _add_gums(arch: Field, colour: Field) -> Field:
    x, y = _grid("upper")
    gum = np.clip((-6.5 - y) * DENSITY * 0.3, 0, 1) * (np.abs(x) < 24.0)
    arch[..., :3] = arch[..., :3] * (1 - gum[..., None]) + colour * gum[..., None]
    arch[..., 3] = np.maximum(arch[..., 3], gum)
    return arch


def _tongue(colour: Field) -> Field:
    x, y = _grid("tongue")
    dome = np.clip(1 - (x / 18.5) ** 2 - ((y - 11.0) / 9.5) ** 2, 0, 1)
    furrow = 1 - 0.10 * np.exp(-((x / 1.6) ** 2))
    relief = (0.34 + 0.50 * np.sqrt(dome)) * furrow
    rim = np.clip(dome / 0.6, 0, 1)
    return np.dstack([relief[..., None] * colour, rim * rim * (3 - 2 * rim)])


def _keep_photographed_teeth(
    upper: Field, lower: Field, pixels: Uint8Image, frame: FaceFrame, local: Field, line: float, tone: Tone
) -> tuple[Field, Field]:
    """Put the teeth of the source image into the upper arch and give both arches their colour.

    Both are unchanged if the source image shows no teeth.
    """
    x, y = _grid("upper")
    points = np.stack([x, y + line, np.zeros_like(x)], axis=-1).reshape(-1, 3)
    at = frame.to_picture(points)[:, :2] - 0.5
    photo = np.stack(
        [
            map_coordinates(pixels[..., c].astype(np.float32), at[:, ::-1].T, order=1, mode="nearest")
            for c in range(3)
        ],
        axis=-1,
    ).reshape(*x.shape, 3)
    inner_upper, inner_lower = (local[list(ring[-1])] for ring in (UPPER_LIP, LOWER_LIP))
    top = np.interp(x[0], inner_upper[:, 0], inner_upper[:, 1] - line, left=np.inf, right=np.inf)
    bottom = np.interp(x[0], inner_lower[:, 0], inner_lower[:, 1] - line, left=-np.inf, right=-np.inf)
    margin = 0.8
    opening = (y > top + margin) & (y < bottom - margin)
    luma = photo @ LUMA
    if opening.sum() < 40:
        return upper, lower
    level = np.percentile(luma[opening], 60)
    white = photo[opening & (luma >= level)].mean(axis=0)
    if white @ LUMA < 0.55 * (tone.skin @ LUMA) or white[1] < 0.72 * white[0]:
        return upper, lower
    match = white / np.maximum(1.0, tone.tooth * 0.93)
    upper[..., :3] *= match
    lower[..., :3] *= match
    # Continue the row under the lip upwards: a lip that rises uncovers more of the same tooth.
    first = np.where(opening.any(axis=0), opening.argmax(axis=0), 0)
    rows = np.arange(x.shape[0])[:, None]
    above = opening.any(axis=0) & (rows < first) & (rows > first - round(6 * DENSITY))
    photo = photo[np.where(above, first, rows), np.arange(x.shape[1])]
    bright = np.clip((gaussian_filter(photo @ LUMA, 0.5 * DENSITY) / max(1.0, level) - 0.3) / 0.3, 0.0, 1.0)
    shown = np.where(opening | above, bright, 0.0)  # not the dark beside the row
    keep = gaussian_filter(shown, (0.45 * DENSITY, 0.9 * DENSITY))[..., None]
    keep = np.clip(keep * 1.6 - 0.3, 0, 1)
    upper[..., :3] = upper[..., :3] * (1 - keep) + photo * keep
    own = gaussian_filter1d(np.where(opening, bright, 0.0).max(axis=0), 1.5 * DENSITY)
    below = rows > np.where(opening.any(axis=0), len(rows) - 1 - opening[::-1].argmax(axis=0), 0)
    upper[..., 3] *= 1.0 - below * np.clip(2.0 * own, 0.0, 1.0)  # what the image shows is the whole tooth
    upper[..., 3] = np.maximum(upper[..., 3], keep[..., 0])
    return upper, lower


def _to_layer(picture: Field) -> Layer:
    """Premultiply the image and blur it by a sixth of a millimetre."""
    alpha = picture[..., 3:]
    premultiplied = np.dstack([picture[..., :3] * alpha, alpha * 255.0])
    soft = gaussian_filter(premultiplied, (0.16 * DENSITY, 0.16 * DENSITY, 0))
    return np.clip(soft + 0.5, 0, 255).astype(np.uint8)
