"""Light and colours of a source image, measured on the face.

Drawn teeth must look as if they had been there when the picture was taken. The white of the eyes is the one
near-white part of every source image. Its colour shows the tint of the scene (or of the painter's palette),
and its brightness shows the exposure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.mesh.faceframe import FaceFrame
from sadtalker_service.faces.topology import EYES, OVAL

Colour = NDArray[np.float64]
"""float64 (3,) RGB, 0..255."""

LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601 weights of R, G, B."""

_SKIN_POINTS = (205, 425, 164, 18, 200)
_LIP_POINTS = (15, 16, 86, 316, 85, 315)
_MOST_COLOUR = 0.34
"""Largest deviation of the blue of teeth from grey. Half of it is reached under the light of a lamp, nearly
all in a painting in browns."""
_REDNESS = 0.35
"""Share of the red of the scene that teeth take on. Without it they look green beside warm skin."""
_ENAMEL = np.array([1.0, 0.965, 0.875])
"""Colour of enamel under white light, relative to white."""


@dataclass(frozen=True, eq=False)
class Tone:
    """Colours of the scene."""

    skin: Colour
    bright: float
    """Luma of the well-lit part of the face (80th percentile)."""
    lip: Colour
    seam: Colour
    """Colour of the shadow between closed lips."""
    tooth: Colour
    lash: Colour


def measure_tone(pixels: Uint8Image, landmarks: NDArray[np.floating], frame: FaceFrame) -> Tone:
    """Measure the colours of a face.

    Args:
        pixels: uint8 (H, W, 3).
        landmarks: float (478, 3), pixels of the same image.
        frame: face frame of the same landmarks.
    """
    p = np.asarray(landmarks, np.float64)[:, :2]
    skin = np.median([_patch(pixels, p[i], 2) for i in _SKIN_POINTS], axis=0)
    lip = np.mean([_patch(pixels, p[i], 1) for i in _LIP_POINTS], axis=0)
    step = max(1, int(frame.scale))  # one sample per millimetre is enough
    face = _inside(pixels[::step, ::step], p[list(OVAL)] / step)
    bright = float(np.percentile(face @ LUMA, 80))
    seam = lip * np.array([0.50, 0.38, 0.40])
    return Tone(skin, bright, lip, seam, _tooth(pixels, p, skin, bright), _lash(pixels, p, frame.scale))


def _tooth(pixels: Uint8Image, p: Colour, skin: Colour, bright: float) -> Colour:
    whites = np.concatenate([_sclera(pixels, p, k) for k in range(2)])
    luma = whites @ LUMA
    white, level = skin, bright
    if len(whites) >= 12:
        top = luma >= np.percentile(luma, 65)
        read = whites[top].mean(axis=0)
        redder = read[0] * skin[1] > skin[0] * read[1]  # than the skin: not the white of an eye
        white = skin if redder else read
        level = float(read @ LUMA)
    level = float(np.clip(1.12 * level, 0.86 * bright, 1.15 * bright + 12.0))
    tint = (white / max(1.0, white @ LUMA)) ** 0.65 * (skin / max(1.0, skin @ LUMA)) ** 0.18 * _ENAMEL**0.8
    tooth: Colour = np.clip(_paler(tint / (tint @ LUMA)) * min(level, 232.0), 0.0, 245.0)
    return tooth


def _paler(tint: Colour) -> Colour:
    """A tint of luma 1 with no more colour than teeth have: towards yellow, however warm the light."""
    warmth = float(_MOST_COLOUR * (1.0 - np.exp(-max(1.0 - tint[2], -0.05) / _MOST_COLOUR)))
    red = _REDNESS * float(np.clip(tint[0] - tint[1] - 0.08, 0.0, 0.3))
    pale = np.array([1.0 + 0.45 * warmth + red, 1.0, 1.0 - warmth])
    result: Colour = pale / (pale @ LUMA)
    return result


def _sclera(pixels: Uint8Image, p: Colour, side: int) -> Colour:
    eye = EYES[side]
    centre, rim = p[eye.iris[0]], p[list(eye.iris[1:])]
    radius = np.linalg.norm(rim - centre, axis=1).mean() * 1.15
    contour = p[list(eye.contour)]
    shrunk = contour.mean(axis=0) + (contour - contour.mean(axis=0)) * 0.85
    return _inside(pixels, shrunk, without=(centre, float(radius)))


def _lash(pixels: Uint8Image, p: Colour, scale: float) -> Colour:
    samples = []
    for eye in EYES:
        for i in eye.upper_lid[2:6]:
            samples += [_patch(pixels, p[i] + [0.0, dy * scale], 0) for dy in (-1.5, -0.5, 0.5, 1.5)]
    colours = np.array(samples)
    luma = colours @ LUMA
    dark: Colour = colours[luma <= np.percentile(luma, 30)].mean(axis=0)
    return dark


def _patch(pixels: Uint8Image, at: Colour, radius: int) -> Colour:
    """Mean colour around a point. A point outside the image is moved to its border."""
    height, width = pixels.shape[:2]
    x, y = int(np.clip(at[0], 0, width - 1)), int(np.clip(at[1], 0, height - 1))
    part = pixels[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
    mean: Colour = part.reshape(-1, 3).mean(axis=0)
    return mean


def _inside(pixels: Uint8Image, polygon: Colour, without: tuple[Colour, float] | None = None) -> Colour:
    """Colours (n, 3) of the pixels inside a polygon and outside a circle."""
    height, width = pixels.shape[:2]
    x0, y0 = np.clip(np.floor(polygon.min(axis=0)).astype(int), 0, [width - 1, height - 1])
    x1, y1 = np.clip(np.ceil(polygon.max(axis=0)).astype(int) + 1, [x0 + 1, y0 + 1], [width, height])
    mask = Image.new("L", (x1 - x0, y1 - y0))
    draw = ImageDraw.Draw(mask)
    draw.polygon([(float(x - x0), float(y - y0)) for x, y in polygon], fill=255)
    if without is not None:
        (cx, cy), r = without
        draw.ellipse((cx - r - x0, cy - r - y0, cx + r - x0, cy + r - y0), fill=0)
    return pixels[y0:y1, x0:x1][np.asarray(mask) > 0].astype(np.float64)
