"""Lashes and lash line of an open eye, which go down with the lid.

They are the dark part of the image along the lid's edge, as a share of the darkest lash colour. The image of
a closed eye has no other line: what is thin, light or painted in the source image stays so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.mesh.lids import (
    COLUMNS,
    POSITIONS,
    EyeLines,
    Field,
    eye_lines,
    lid_colours,
    sample,
)
from sadtalker_service.engines.mesh.tone import LUMA
from sadtalker_service.faces.topology import EYES, Eye

ABOVE, BELOW = 2.4, 1.2
"""Reach of the band over and under the edge of the lid, mm."""
ROWS_PER_MM = 5.0
_FAINTEST = 0.38
"""The line where lids meet is seen even where there are no lashes."""


def draw_lashes(pixels: Uint8Image, points: Field, scale: float, lash: Field) -> NDArray[np.uint8]:
    """Coverage of the lashes of both eyes.

    Args:
        pixels: uint8 (H, W, 3).
        points: as of `draw_lids`.
        scale: pixels per millimetre.
        lash: (3,) RGB of the lashes.

    Returns:
        uint8 (2, rows, COLUMNS): rows from `ABOVE` mm over the edge of the lid to `BELOW` mm under it,
        columns from the left corner of the eye to the right.
    """
    dark = float(lash @ LUMA)
    return np.stack([_band(pixels, points[:, :2], eye, scale, dark) for eye in EYES])


def _band(pixels: Uint8Image, p: Field, eye: Eye, scale: float, dark: float) -> NDArray[np.uint8]:
    lines: EyeLines = eye_lines(p, eye)
    offsets = (np.arange(round((ABOVE + BELOW) * ROWS_PER_MM) + 1) / ROWS_PER_MM - ABOVE)[:, None]
    positions = np.linspace(0.0, 1.0, COLUMNS)
    columns = np.broadcast_to(positions, (len(offsets), COLUMNS))
    edge_of_lid = np.interp(positions, POSITIONS, lines.upper)
    luma = sample(pixels, lines.at(columns, edge_of_lid + offsets * scale), 0.0) @ LUMA
    skin = np.interp(positions, POSITIONS, lid_colours(pixels, p, eye, lines, scale) @ LUMA)
    cover = np.clip((0.88 * skin - luma) / np.maximum(0.88 * skin - dark, 12.0), 0.0, 1.0)
    line = int(np.argmin(np.abs(offsets + 0.2)))
    for row in range(line - 1, -1, -1):  # lashes hang together with the line, a fold does not
        cover[row] = np.minimum(cover[row], gaussian_filter1d(cover[row + 1], 1.0) + 0.04)
    for row in range(line + 1, len(offsets)):  # nor does the iris
        cover[row] = np.minimum(cover[row], cover[row - 1])
    cover *= np.clip((BELOW - offsets) / BELOW, 0.0, 1.0)
    edge = np.clip(np.minimum(columns, 1.0 - columns) / 0.10, 0.0, 1.0)
    faint = _FAINTEST * np.exp(-((offsets / np.where(offsets > 0.0, 0.9, 0.45)) ** 2))
    soft = gaussian_filter(np.maximum(gaussian_filter1d(cover, 2.5, axis=1), faint), (1.1, 0.6)) * edge
    return (255.0 * soft).round().astype(np.uint8)
