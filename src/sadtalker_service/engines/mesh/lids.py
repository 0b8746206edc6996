"""Skin of a closed upper lid, without the lashes of the open eye.

The source image shows no closed eye. The lid is made from the skin around the eye: the opening and the lashes
are cut out, and the hole is filled smoothly from its border. The renderer lowers this skin over the eyeball.
It drags nothing around the eye along, neither lashes nor the rim of glasses.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, map_coordinates

from sadtalker_service.domain import Artefact, Uint8Image
from sadtalker_service.engines.mesh.tone import LUMA
from sadtalker_service.faces.topology import EYES, Eye

DENSITY = 2.0
"""Pixels per millimetre of a lid image."""

HALF_SIZE = (27.0, 20.0)
"""Half the width and height of a lid image, mm."""

COVERED = "{eyes} to be covered, for example by dark glasses, so {they} not blink."

Field = NDArray[np.float64]


def draw_lids(pixels: Uint8Image, points: Field, scale: float) -> NDArray[np.uint8]:
    """Draw the lid skin of both eyes.

    Args:
        pixels: uint8 (H, W, 3).
        points: float (478+, 3) vertices in pixels, with the eye holes as the renderer cuts them.
        scale: pixels per millimetre.

    Returns:
        uint8 (2, h, w, 4): RGB and opacity. The centre of each image is at `lid_anchor`.
    """
    return np.stack([_draw_lid(pixels, points[:, :2], eye, scale) for eye in EYES])


def warn_of_covered_eyes(detection: Artefact) -> Artefact:
    """Add a warning to `face_detection` about covered eyes, which stay unchanged."""
    record = detection.record
    covered = sum(record["covered_eyes"])
    if not covered:
        return detection
    both = covered == len(EYES)
    words = COVERED.format(
        eyes="The eyes seem" if both else "One eye seems", they="they do" if both else "it does"
    )
    return replace(detection, record={**record, "warnings": [*record["warnings"], words]})


def hold_still(basis: NDArray[np.float32], eye: Eye) -> None:
    """Remove the region of a covered eye from (C, 478, 3) displacements, because glasses do not squint."""
    around = [
        *eye.contour,
        *eye.rings_above[0],
        *eye.rings_above[1],
        *eye.rings_below[0],
        *eye.rings_below[1],
    ]
    basis[:, around] = 0.0


def lid_anchor(points: Field, eye: Eye) -> Field:
    """(2,): mean of both lids and their corners, in the units of `points`."""
    chains = [eye.corners[0], *eye.upper_lid, eye.corners[1], eye.corners[0], *eye.lower_lid, eye.corners[1]]
    mean: Field = points[chains, :2].mean(axis=0)
    return mean


def _draw_lid(pixels: Uint8Image, p: Field, eye: Eye, scale: float) -> NDArray[np.uint8]:
    width, height = (round(2 * half * DENSITY) for half in HALF_SIZE)
    step = scale / DENSITY  # pixels of the source image per pixel of the lid
    anchor = lid_anchor(p, eye)
    x = anchor[0] + (np.arange(width) + 0.5 - width / 2) * step
    y = anchor[1] + (np.arange(height) + 0.5 - height / 2) * step
    skin = _sample(pixels, x, y, step)

    def to_lid(point: Field) -> tuple[float, float]:
        at = (point - anchor) / step + [width / 2, height / 2]
        return float(at[0]), float(at[1])

    outline = [to_lid(point) for point in _outline(p, eye, scale)]
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    hole = gaussian_filter((np.asarray(mask) > 0).astype(np.float64), 0.8) > 0.12
    filled = _fill(_without_lashes(skin, hole), hole)
    show = gaussian_filter(hole.astype(np.float64), 1.7)
    return np.dstack([filled, 255.0 * np.clip(show * 1.3 - 0.15, 0, 1)]).clip(0, 255).astype(np.uint8)


def _outline(p: Field, eye: Eye, scale: float) -> Field:
    """Polygon around opening and lashes.

    It reaches up to the crease, slightly beyond the corners, and just below the lower lid.
    """
    outer, inner = p[eye.corners[0]], p[eye.corners[1]]
    along = (outer - inner) / np.linalg.norm(outer - inner)
    upper, lower = p[list(eye.upper_lid)], p[list(eye.lower_lid)]
    crease, below = p[list(eye.rings_above[0])], p[list(eye.rings_below[0])]
    top = upper + 1.06 * (crease - upper)
    bottom = lower + 0.22 * (below - lower)
    corner = outer + along * 3.5 * scale
    return np.vstack([corner[None], top, (inner - along * 1.0 * scale)[None], bottom[::-1]])


def _sample(pixels: Uint8Image, x: Field, y: Field, step: float) -> Field:
    """float (h, w, 3): the image sampled on a grid, low-passed if the grid is coarser than the image."""
    margin = 4 + int(2 * step)
    x0, y0 = max(0, int(x[0]) - margin), max(0, int(y[0]) - margin)
    part = pixels[y0 : max(y0 + 2, int(y[-1]) + margin), x0 : max(x0 + 2, int(x[-1]) + margin)].astype(
        np.float32
    )
    if part.size == 0:
        part = pixels[-2:, -2:].astype(np.float32)
    if step > 1.2:
        part = gaussian_filter(part, (0.4 * step, 0.4 * step, 0))
    grid = np.meshgrid(y - 0.5 - y0, x - 0.5 - x0, indexing="ij")
    return np.stack([map_coordinates(part[..., c], grid, order=1, mode="nearest") for c in range(3)], axis=-1)


def _without_lashes(picture: Field, hole: NDArray[np.bool_]) -> Field:
    """Replace everything clearly darker than the skin with the surrounding skin."""
    luma = picture @ LUMA
    skin = np.percentile(luma[~hole], 60)
    trust = np.clip((luma / max(1.0, skin) - 0.42) / 0.25, 0, 1) * ~hole
    share = (trust + 0.02 * ~hole)[..., None]  # a little of everything, as clear skin may be missing
    around = gaussian_filter(picture * share, (3.3, 3.3, 0))
    mean = around / np.maximum(gaussian_filter(share, (3.3, 3.3, 0)), 1e-6)
    cleared: Field = picture * trust[..., None] + mean * (1 - trust[..., None])
    return cleared


def _fill(picture: Field, hole: NDArray[np.bool_]) -> Field:
    """Fill the hole of an image from its border.

    Averages from coarse to fine are relaxed to a harmonic surface. The middle of the hole is then moved a
    third of the way to clear skin, because the border is full of shadows.
    """
    known = (~hole).astype(np.float64)[..., None]
    filled = np.broadcast_to(picture[~hole].mean(axis=0), picture.shape).copy()
    for sigma in (10.0, 5.0, 2.5):
        weight = gaussian_filter(known, (sigma, sigma, 0))
        mean = gaussian_filter(picture * known, (sigma, sigma, 0)) / np.maximum(weight, 1e-6)
        blend = np.clip(weight / 0.3, 0, 1)
        filled = mean * blend + filled * (1 - blend)
    skin = picture[~hole].reshape(-1, 3)
    skin = skin[skin @ LUMA >= np.percentile(skin @ LUMA, 40)].mean(axis=0)
    filled = np.where(hole[..., None], filled, picture)
    for _ in range(24):
        mean = (
            np.roll(filled, 1, 0) + np.roll(filled, -1, 0) + np.roll(filled, 1, 1) + np.roll(filled, -1, 1)
        ) / 4.0
        filled = np.where(hole[..., None], mean, filled)
    clear = 0.35 * np.clip((gaussian_filter(hole.astype(np.float64), 2.7) - 0.45) / 0.5, 0, 1)[..., None]
    lid: Field = filled * (1 - clear) + skin * clear
    return lid
