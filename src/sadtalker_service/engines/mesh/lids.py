"""Skin of a closed upper lid, made from the skin that the open lid shows.

The source image shows no closed eye. What it shows is a strip of lid between the lash line and the crease.
The colour of that strip, column by column, goes on over the eyeball, with the grain of the cheek and the
light on a round lid. At the crease it fades into the image, which is left as it is above. The renderer lowers
this skin over the eyeball.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d, map_coordinates

from sadtalker_service.domain import Artefact, Uint8Image
from sadtalker_service.engines.mesh.channels import smoothstep
from sadtalker_service.engines.mesh.surface import EYE_HOLE_GROWTH
from sadtalker_service.engines.mesh.tone import LUMA
from sadtalker_service.faces.topology import EYES, Eye

DENSITY = 3.0
"""Pixels per millimetre of a lid image."""

HALF_SIZE = (22.0, 16.0)
"""Half the width and height of a lid image, mm."""

COVERED = "{eyes} to be covered, for example by dark glasses, so {they} not blink."

COLUMNS = 64
POSITIONS = np.linspace(-0.16, 1.16, COLUMNS)
"""Where the heights of an eye's lines are known: 0 is its left corner as seen, 1 its right one."""
_ROWS = 16
_LASHES_MM = 1.3
"""Height of the lowest part of the strip, in which the lashes are."""
_TOWARDS_FACE = 0.8
"""Share of the skin around the eye in the colour of the lid."""
_BELOW_LID = 1.5
"""How far the image goes on below the lower lid, mm. The edge of the lid cuts it."""
_BESIDE = 0.08
"""And beyond the corners, in eye widths."""
_FADED, _RIM = 0.35, 2.6
"""Share of the rim's deviation that remains in the middle of the lid, and how far it reaches, mm."""

Field = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EyeLines:
    """Crease, upper lid and lower lid of an open eye, as heights over the line between its corners."""

    corner: Field
    """(2,) left corner as seen, pixels."""
    along: Field
    """(2,) from there to the right corner, pixels."""
    crease: Field
    """float (COLUMNS,) pixels downwards from the line between the corners."""
    upper: Field
    lower: Field

    @property
    def down(self) -> Field:
        """(2,) unit vector downwards."""
        x, y = self.along / np.linalg.norm(self.along)
        return np.array([-y, x])

    def at(self, columns: Field, heights: Field) -> Field:
        """Pixels (..., 2) of positions 0..1 along the eye and heights in pixels."""
        point: Field = (
            self.corner
            + np.asarray(columns)[..., None] * self.along
            + np.asarray(heights)[..., None] * self.down
        )
        return point

    def coordinates(self, points: Field) -> tuple[Field, Field]:
        """Positions along the eye and heights, the inverse of `at`."""
        offset = points - self.corner
        return offset @ self.along / (self.along @ self.along), offset @ self.down


def eye_lines(points: Field, eye: Eye) -> EyeLines:
    """Lines of an eye from vertices (478+, 2) in pixels, with the eye holes as the renderer cuts them."""
    ends = points[list(eye.corners), :2]
    order = np.argsort(ends[:, 0])
    corner, along = ends[order[0]], ends[order[1]] - ends[order[0]]
    lines = EyeLines(corner, along, *np.zeros((3, COLUMNS)))
    width = np.linalg.norm(along)
    bulge = np.sin(np.pi * np.clip(POSITIONS, 0.0, 1.0)) * width
    chains = (eye.rings_above[0], eye.upper_lid, eye.lower_lid)
    growths = (0.0, EYE_HOLE_GROWTH[0], -EYE_HOLE_GROWTH[1])  # undo what was cut away
    heights = []
    for chain, growth in zip(chains, growths, strict=True):
        across, height = lines.coordinates(points[list(chain), :2])
        order = np.argsort(across)
        first, last = min(0.0, across.min() - 0.08), max(1.0, across.max() + 0.08)  # creases are longer
        known = np.concatenate([[first], across[order], [last]])
        curve = np.interp(POSITIONS, known, np.concatenate([[0.0], height[order], [0.0]]))
        heights.append(gaussian_filter1d(curve, 1.5, mode="nearest") + growth * bulge)
    return EyeLines(corner, along, *heights)


def draw_lids(pixels: Uint8Image, points: Field, scale: float) -> NDArray[np.uint8]:
    """Draw the lid skin of both eyes.

    Args:
        pixels: uint8 (H, W, 3).
        points: float (478+, 3) vertices in pixels, with the eye holes as the renderer cuts them.
        scale: pixels per millimetre.

    Returns:
        uint8 (2, h, w, 4): RGB and opacity. The centre of each image is at `lid_anchor`.
    """
    grain = _grain(pixels, points[:, :2], scale)
    return np.stack([_draw_lid(pixels, points[:, :2], eye, scale, grain) for eye in EYES])


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


def _draw_lid(pixels: Uint8Image, p: Field, eye: Eye, scale: float, grain: Field) -> NDArray[np.uint8]:
    width, height = (round(2 * half * DENSITY) for half in HALF_SIZE)
    step = scale / DENSITY  # pixels of the source image per pixel of the lid
    x = (np.arange(width) + 0.5 - width / 2) * step
    y = (np.arange(height) + 0.5 - height / 2) * step
    grid = np.stack(np.meshgrid(x, y), axis=-1) + lid_anchor(p, eye)
    lines = eye_lines(p, eye)
    across, level = lines.coordinates(grid)
    crease, upper, lower = (
        np.interp(across, POSITIONS, curve) for curve in (lines.crease, lines.upper, lines.lower)
    )
    mm = 1.0 / scale
    inside = (across > -_BESIDE) & (across < 1.0 + _BESIDE)
    new = inside & (level > crease + 0.2 * (upper - crease) - 0.5 * scale) & (level < lower + 0.9 * scale)
    photo = sample(pixels, grid, 0.5 * step)
    colours = lid_colours(pixels, p, eye, lines, scale)
    base = np.stack([np.interp(across, POSITIONS, colours[:, c]) for c in range(3)], axis=-1)
    skin = base + _fading_difference(_without_lashes(photo, new) - base, new)
    down = np.clip((level - crease) / np.maximum(lower - crease, 1e-6), 0.0, 1.0)
    round_lid = smoothstep(0.0, 4.0, (lower - upper) * mm)
    light = 1.0 + round_lid * (0.04 * np.sin(np.pi * down**0.8) - 0.05 * smoothstep(0.75, 1.0, down))
    lit = skin * light[..., None]
    lit = lit + _tiled(grain, skin.shape) * (lit @ LUMA / 255.0)[..., None]
    skin = np.where(new[..., None], lit, skin)
    fades_in = smoothstep(0.0, 0.5, (level - crease) / np.maximum(upper - crease, 0.8 * scale))
    opening = inside & (level > upper - 0.9 * scale) & (level < lower + _BELOW_LID * scale)
    soft = gaussian_filter(opening.astype(np.float64), 0.55 * DENSITY)
    shown = np.maximum(fades_in * (level < lower), np.clip(1.6 * soft - 0.3, 0, 1))
    shown = np.where(level > upper, shown, np.minimum(shown, np.maximum(fades_in, 1.6 * soft - 0.3)))
    shown *= smoothstep(POSITIONS[0], -_BESIDE / 2, across) * smoothstep(
        POSITIONS[-1], 1 + _BESIDE / 2, across
    )
    shown = gaussian_filter(shown, 0.2 * DENSITY)
    return np.dstack([skin, 255.0 * shown]).clip(0, 255).round().astype(np.uint8)


def _without_lashes(picture: Field, hole: NDArray[np.bool_]) -> Field:
    """Replace everything clearly darker than the skin with the surrounding skin."""
    luma = picture @ LUMA
    skin = np.percentile(luma[~hole], 60)
    trust = np.clip((luma / max(1.0, skin) - 0.5) / 0.3, 0, 1) * ~hole
    share = (trust + 0.02 * ~hole)[..., None]  # a little of everything, as clear skin may be missing
    sigma = (2.0 * DENSITY, 2.0 * DENSITY, 0)
    around = gaussian_filter(picture * share, sigma)
    mean = around / np.maximum(gaussian_filter(share, sigma), 1e-6)
    cleared: Field = picture * trust[..., None] + mean * (1 - trust[..., None])
    return cleared


def _fading_difference(difference: Field, hole: NDArray[np.bool_]) -> Field:
    """Continue a field (h, w, 3) into a hole: smoothly at its rim, and less and less with the distance."""
    known = (~hole).astype(np.float64)[..., None]
    filled = np.broadcast_to(difference[~hole].mean(axis=0), difference.shape).copy()
    for sigma in (5.0, 2.5, 1.2, 0.6):
        reach = (sigma * DENSITY, sigma * DENSITY, 0)
        weight = gaussian_filter(known, reach)
        mean = gaussian_filter(difference * known, reach) / np.maximum(weight, 1e-6)
        blend = np.clip(weight / 0.3, 0, 1)
        filled = mean * blend + filled * (1 - blend)
    far = distance_transform_edt(hole)[..., None] / DENSITY
    kept = _FADED + (1.0 - _FADED) * np.exp(-((far / _RIM) ** 2))
    soft = gaussian_filter(np.where(hole[..., None], filled * kept, difference), (0.8, 0.8, 0))
    faded: Field = np.where(hole[..., None], soft, difference)
    return faded


def lid_colours(pixels: Uint8Image, p: Field, eye: Eye, lines: EyeLines, scale: float) -> Field:
    """Colour of the skin of the lid, float (COLUMNS, 3), without lashes, folds and the shadow of the brow."""
    top = lines.crease - 1.2 * scale
    bottom = np.maximum(lines.upper - _LASHES_MM * scale, lines.crease + 0.3 * (lines.upper - lines.crease))
    heights = top + np.linspace(0.0, 1.0, _ROWS)[:, None] * (bottom - top)
    strip = sample(pixels, lines.at(np.broadcast_to(POSITIONS, heights.shape), heights), scale / 2.0)
    bright = strip @ LUMA
    level = gaussian_filter1d(np.percentile(bright, 80, axis=0), 6.0, mode="nearest")
    lid = _mean(strip, smoothstep(0.75, 0.98, bright / np.maximum(level, 1.0)) + 0.003)
    around = skin_around(pixels, p, eye, scale)
    return lid + _TOWARDS_FACE * (around - lid)


def skin_around(pixels: Uint8Image, p: Field, eye: Eye, scale: float) -> Field:
    """(3,) colour of the skin over the crease and under the lower lid, without shadows, lashes and shine."""
    share = np.linspace(0.1, 1.0, 8)[:, None, None]
    samples = []
    for near, far in (eye.rings_above, eye.rings_below):
        first, second = p[list(near[1:-1])], p[list(far[1:-1])]
        samples.append((first + share * (second - first)).reshape(-1, 2))
    colours = sample(pixels, np.concatenate(samples), 0.0)
    luma = colours @ LUMA
    clear = luma > 0.5 * np.percentile(luma, 85)  # no brow, no lashes, no glasses
    colours, luma = colours[clear], luma[clear]
    usual = (luma >= np.percentile(luma, 40)) & (luma <= np.percentile(luma, 75))
    mean: Field = colours[usual].mean(axis=0)
    return mean


def _mean(strip: Field, weight: Field) -> Field:
    """Weighted mean over the rows (rows, COLUMNS, 3), smoothed along the eye."""
    total = gaussian_filter1d((strip * weight[..., None]).sum(axis=0), 6.0, axis=0, mode="nearest")
    share = gaussian_filter1d(weight.sum(axis=0), 6.0, mode="nearest")
    mean: Field = total / np.maximum(share, 1e-6)[:, None]
    return mean


def sample(pixels: Uint8Image, at: Field, blur: float) -> Field:
    """float (..., 3): colours at points (..., 2), low-passed by `blur` pixels. Borders repeat."""
    margin = int(3 * blur) + 2
    limit = np.array(pixels.shape[1::-1]) - 1
    low = np.clip(np.floor(at.reshape(-1, 2).min(axis=0)).astype(int) - margin, 0, limit)
    high = np.clip(np.ceil(at.reshape(-1, 2).max(axis=0)).astype(int) + margin, low, limit)
    part = pixels[low[1] : high[1] + 1, low[0] : high[0] + 1].astype(np.float32)
    if blur > 0.5:
        part = gaussian_filter(part, (blur * 0.5, blur * 0.5, 0), mode="nearest")
    where = (at - 0.5 - low)[..., ::-1].reshape(-1, 2).T
    flat = np.stack(
        [map_coordinates(part[..., c], where, order=1, mode="nearest") for c in range(3)], axis=-1
    )
    colours: Field = flat.reshape((*at.shape[:-1], 3)).astype(np.float64)
    return colours


def _grain(pixels: Uint8Image, p: Field, scale: float) -> Field:
    """float (n, n, 1): what is finer than a millimetre in the skin of the cheek, in levels of white skin."""
    side = round(9.0 * DENSITY)
    step = scale / DENSITY
    offset = (np.arange(side) + 0.5 - side / 2) * step
    grid = np.stack(np.meshgrid(offset, offset), axis=-1)
    patches = []
    for middle in (p[[50, 205, 118]].mean(axis=0), p[[280, 425, 347]].mean(axis=0)):
        luma = sample(pixels, grid + middle, 0.0) @ LUMA
        fine = luma - gaussian_filter(luma, 0.8 * DENSITY)
        patches.append(fine * 255.0 / max(30.0, float(luma.mean())))
    calm = min(patches, key=lambda patch: float(patch.std()))
    limit = 2.0 * float(calm.std()) + 1e-6
    grain: Field = 0.7 * np.clip(calm, -limit, limit)[..., None]
    return grain


def _tiled(grain: Field, shape: tuple[int, ...]) -> Field:
    """The grain mirrored over an image of that shape."""
    rows, columns = (np.abs((np.arange(n) + len(grain)) % (2 * len(grain)) - len(grain)) for n in shape[:2])
    last = len(grain) - 1
    tiled: Field = grain[np.minimum(rows, last)][:, np.minimum(columns, last)]
    return tiled
