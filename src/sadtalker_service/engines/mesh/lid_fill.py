"""Skin where the source image shows an eye: filled in from the clear skin around it.

An eye is surrounded by things that are no skin of a closed lid: lashes that stand up from the lid's edge, the
fold of the open lid, make-up, and beside them brows, hair and the frames of glasses. The first kind goes away
when the eye closes, the second stays.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_dilation, binary_opening, gaussian_filter, label
from scipy.sparse import diags_array, eye_array, kron
from scipy.sparse.linalg import splu

from sadtalker_service.engines.mesh.channels import smoothstep
from sadtalker_service.engines.mesh.tone import LUMA

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]

_NEIGHBOURHOOD = 5.0
"""Distance over which skin is compared with the skin around it, mm."""
_AVERAGED = 0.8
"""Distance over which the skin at the rim of a hole is averaged, mm. Single pores and hairs do not count."""
_THICK = 0.9
"""Half the width of the thinnest brow, strand of hair or frame, mm. Lashes are thinner."""
_DARK = 0.6
"""Largest `brightness` of those."""
_BLACK = 0.3
"""Largest `brightness` of a frame where it lies below the fold."""
_SHADE = 0.76
"""Largest `brightness` of lashes and lines. Skin that only lies in a shadow is brighter."""


def brightness(photo: Field, eye: Mask, density: float) -> Field:
    """Brightness of each pixel relative to the clear skin around it, 1 for such skin.

    Args:
        photo: float (h, w, 3).
        eye: bool (h, w): the eye, which is not skin.
        density: pixels per millimetre.
    """
    luma = photo @ LUMA
    usual = (~eye & (luma > 0.55 * np.percentile(luma[~eye], 85))).astype(np.float64)
    for least in (0.75, 0.82):
        level = _local_mean(luma, usual, _NEIGHBOURHOOD * density)
        usual = (~eye & (luma > least * level)).astype(np.float64)
    ratio: Field = luma / np.maximum(_local_mean(luma, usual, _NEIGHBOURHOOD * density), 1.0)
    return ratio


def clearness(bright: Field, density: float) -> Field:
    """How clearly pixels of that `brightness` show plain skin, 0..1. What touches a dark line does not."""
    beside_dark = binary_dilation(bright < _DARK, _disc(0.7 * density))
    clear: Field = smoothstep(0.76, 0.90, bright) * (1.0 - smoothstep(1.15, 1.3, bright)) * ~beside_dark
    return clear


def fill(photo: Field, trust: Field, density: float) -> Field:
    """Smooth skin (h, w, 3) through the trusted pixels, which goes on evenly where there are none.

    It minimises trust · (skin - photo)² + (`_AVERAGED` · gradient)² over the image.
    """
    weight = np.maximum(trust, 1e-4).ravel()
    system = diags_array(weight) + (_AVERAGED * density) ** 2 * _laplacian(*trust.shape)
    solve = splu(system.tocsc()).solve
    flat = solve(weight[:, None] * photo.reshape(-1, 3))
    skin: Field = flat.reshape(photo.shape)
    return skin


def leaves(bright: Field, eye: Mask, reach: Mask, near: Mask, density: float) -> tuple[Mask, Mask]:
    """What goes away when the eye closes, and what stays in front of the lid.

    The eye goes away, and what hangs together with it and is no skin. Brows, hair and frames stay.

    Args:
        bright: see `brightness`.
        eye, density: as of `brightness`.
        reach: bool (h, w): how far lashes go.
        near: bool (h, w): from the fold to the lower lid. What is dark there belongs to the eye.
    """
    dark = _closed(bright < _DARK, 0.6 * density)  # with the shine on a frame
    thick = binary_opening(dark & ~near, _disc(_THICK * density))
    thick = binary_dilation(thick, _disc(0.8 * density), mask=(bright < _SHADE) & ~near)
    parts, _count = label(thick)
    stays = np.isin(parts, np.setdiff1d(parts[~reach], [0]))  # lashes in a clump do not go that far
    stays = _closed(stays, 1.2 * density) & ~near
    stays = stays | binary_dilation(stays, _disc(1.5 * density), mask=bright < _BLACK)
    parts, _count = label(((bright < _SHADE) & reach & ~stays) | eye)
    belongs: Mask = np.isin(parts, np.unique(parts[eye]))
    return belongs, binary_dilation(stays, _disc(0.7 * density))


def _local_mean(values: Field, weight: Field, sigma: float) -> Field:
    mean: Field = gaussian_filter(values * weight, sigma) / np.maximum(gaussian_filter(weight, sigma), 1e-6)
    return mean


@lru_cache(maxsize=1)
def _laplacian(height: int, width: int):  # type: ignore[no-untyped-def]  # scipy.sparse has no types
    """Sum of squared differences of neighbours, as a matrix over the pixels of an image."""

    def along(n: int):  # type: ignore[no-untyped-def]
        inner = np.full(n, 2.0)
        inner[[0, -1]] = 1.0
        return diags_array([inner, -np.ones(n - 1), -np.ones(n - 1)], offsets=[0, 1, -1])

    return kron(along(height), eye_array(width)) + kron(eye_array(height), along(width))


def _closed(mask: Mask, radius: float) -> Mask:
    """The mask without gaps that are narrower than twice the radius, pixels."""
    edge = int(np.ceil(radius))
    closed: Mask = binary_closing(np.pad(mask, edge, mode="edge"), _disc(radius))
    return closed[edge:-edge, edge:-edge]


def _disc(radius: float) -> Mask:
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc: Mask = x * x + y * y <= radius * radius + 0.5
    return disc
