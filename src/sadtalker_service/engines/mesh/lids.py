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
from sadtalker_service.engines.mesh.lid_fill import brightness, clearness, fill, leaves
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
_BELOW_LID = 1.2
"""How far the eye goes on below the line of the lower lid, mm. The edge of the closed lid is there."""
_BESIDE = 0.05
"""And beyond the corners, in eye widths."""
_LASHES_UP, _LASHES_DOWN, _LASHES_BESIDE = 4.5, 1.8, 0.2
"""How far lashes reach over the fold and under the lower lid, mm, and beside the corners, in eye widths."""
_FEATHER = 3.6
"""Distance over which the new skin fades into that of the image, mm."""
_MOST_GRAIN = 2.5
"""Largest standard deviation of the grain of a lid, levels of white skin."""
_ENDS = 0.13
"""How far the skin of a lid goes on beyond the corners, in eye widths."""
_TOWARDS_SKIN = 0.95
"""Share of the skin around the eye in the colour of the lid. Shadows and make-up at its rim are the rest."""
_FOLD = 0.05
"""How much darker the fold of a closed lid is."""

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
    photo = sample(pixels, grid, 0.5 * step)
    outside = np.abs(across - 0.5) - 0.5  # of the corners, eye widths
    eye_shown = (outside < _BESIDE) & (level > upper - 0.4 * scale) & (level < lower + _BELOW_LID * scale)
    near = (level > crease) & (level < lower + _BELOW_LID * scale) & (outside < _ENDS)
    reach = level > np.minimum(crease, upper) - _LASHES_UP * scale
    reach &= (level < lower + _LASHES_DOWN * scale) & (outside < _LASHES_BESIDE)
    bright = brightness(photo, eye_shown, DENSITY)
    gone, stays = leaves(bright, eye_shown, reach, near, DENSITY)
    skin = fill(photo, clearness(bright, DENSITY) * ~gone, DENSITY)
    lid = (level > crease) & (level < lower) & (outside < 0.0)
    away = distance_transform_edt(~(gone | lid)) / DENSITY
    ends = 1.0 - smoothstep(0.0, _ENDS, outside)
    shown = gaussian_filter((1.0 - smoothstep(0.0, _FEATHER, away)) * ~stays * ends, 0.5 * DENSITY)
    skin = skin * _relief(across, level, crease, lower, scale)[..., None]
    share = _TOWARDS_SKIN * (1.0 - smoothstep(0.0, 2.0, away)) * (1.0 - smoothstep(-0.06, 0.06, outside))
    middle = lid & (outside < -0.1) & (level > crease + 0.25 * (lower - crease))
    x, y = (
        ((_points_around(p, eye) - grid[0, 0]) / step)
        .round()
        .astype(int)
        .T.clip(0, [[width - 1], [height - 1]])
    )
    closed = photo + shown[..., None] * (skin - photo)  # the skin around is partly new too
    target = (_usual(closed[y, x]) + skin_around(pixels, p, eye, scale)) / 2
    skin = skin + share[..., None] * (target - np.median(skin[middle], axis=0))
    skin = skin + grain * (skin @ LUMA / 255.0)[..., None]
    skin = np.where(shown[..., None] > 0.002, skin, photo)
    return np.dstack([skin, 255.0 * shown]).clip(0, 255).round().astype(np.uint8)


def _relief(across: Field, level: Field, crease: Field, lower: Field, scale: float) -> Field:
    """Light on a closed lid: round over the eyeball, darker at the lashes, with a soft fold above."""
    height = np.maximum(lower - crease, 1.0)
    down = np.clip((level - crease) / height, 0.0, 1.0)
    middle = np.sin(np.pi * np.clip(across, 0.0, 1.0)) ** 0.7
    size = smoothstep(2.0, 7.0, height / scale) * middle
    fold = np.exp(-(((level - crease) / (0.9 * scale)) ** 2))
    relief: Field = 1.0 + size * (
        0.035 * np.sin(np.pi * down) - 0.05 * smoothstep(0.7, 1.0, down) - _FOLD * fold
    )
    return relief


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
    return _usual(sample(pixels, _points_around(p, eye), 0.0))


def _points_around(p: Field, eye: Eye) -> Field:
    """(n, 2) points over the crease and under the lower lid, pixels."""
    points = []
    for (near, far), shares in zip((eye.rings_above, eye.rings_below), ((0.2, 0.9), (0.5, 1.0)), strict=True):
        first, second = p[list(near[1:-1])], p[list(far[1:-1])]
        share = np.linspace(*shares, 8)[:, None, None]
        points.append((first + share * (second - first)).reshape(-1, 2))
    return np.concatenate(points)


def _usual(colours: Field) -> Field:
    """(3,) median of colours (n, 3) without those of brows, lashes and glasses."""
    luma = colours @ LUMA
    middle: Field = np.median(colours[luma > 0.5 * np.percentile(luma, 85)], axis=0)
    return middle


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
    """float (h, w, 1): noise as strong as what is finer than a millimetre in the skin of the calmer cheek, in
    levels of white skin."""
    width, height = (round(2 * half * DENSITY) for half in HALF_SIZE)
    offset = (np.arange(27) - 13.0) * scale / DENSITY
    grid = np.stack(np.meshgrid(offset, offset), axis=-1)
    sizes = []
    for middle in (p[[50, 205, 118]].mean(axis=0), p[[280, 425, 347]].mean(axis=0)):
        luma = sample(pixels, grid + middle, 0.0) @ LUMA
        fine = luma - gaussian_filter(luma, 0.8 * DENSITY)
        sizes.append(
            float(np.subtract(*np.percentile(fine, [84, 16]))) * 127.5 / max(30.0, float(luma.mean()))
        )
    noise = gaussian_filter(np.random.default_rng(0).standard_normal((height, width, 1)), (0.9, 0.9, 0))
    grain: Field = noise * (min(0.8 * min(sizes), _MOST_GRAIN) / noise.std())
    return grain
