"""Cut a person out of a picture: how opaque each pixel is, and its colour without the background's.

A small network finds roughly where the person is (MediaPipe's selfie segmentation, Tkachenka et al. 2021).
Its edge is a band of unknown pixels, in which the opacity is solved for from the colours on both sides
(closed-form matting, Levin et al. 2008). Then the colours of the person are estimated without the background
that shines through hair (multi-level estimation, Germer et al. 2020). Both are pymatting's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from sadtalker_service.domain import Uint8Image
from sadtalker_service.errors import PersonNotSeparable
from sadtalker_service.faces.matting import load_matting
from sadtalker_service.faces.networks import Network
from sadtalker_service.faces.topology import OVAL

NETWORK_SIDE = 256
SOLVER_SIDE = 640
"""Longest side at which opacity is solved for, pixels. Larger pictures get that of a smaller copy: the time
grows faster than the number of pixels, and hair is sharp enough."""

SHIFTS = (1e-3, 1e-2, 0.1, 0.5, 1.0, 10.0)
"""Added to the diagonal of the solver's preconditioner."""
MOST_ENTRIES = 40_000_000
"""Memory of the preconditioner. Pictures of the size above have a fifth of it at most."""

SURE = 0.9
"""The network's value above which a pixel is the person; below 1 - SURE it is background."""
BAND = 2.5
"""Half the width of the unknown band at the edge, pixels of the network."""

HAZE = 0.03
"""Opacity below this becomes 0, and above 1 minus this 1: traces of compression, which would show as haze."""

MOST_UNSURE = 0.15
"""Largest area where the network is not sure, relative to the person. Ten pictures and a photo have 0.03 to
0.13; the same faces on their own colour or on noise 0.15 to 1, and one of them is just below this."""
LEAST_FACE = 0.9
"""Smallest mean of the network over the face. Faces that it takes for a person have 0.98 and more."""
LEAST_BACKGROUND = 0.02
"""Smallest share of the picture that must be background."""

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Matte:
    """A person who was cut out."""

    alpha: NDArray[np.uint8]
    """uint8 (H, W): 0 background .. 255 person."""
    foreground: Uint8Image
    """uint8 (H, W, 3) RGB: colours of the person, continued into the background."""
    behind: Uint8Image
    """uint8 (H, W, 3) RGB: the background, continued behind the person."""


def cut_out(network: Network, pixels: Uint8Image, landmarks: NDArray[np.floating]) -> Matte:
    """Cut out the person whose face has these landmarks.

    Args:
        network: the person mask, see `networks.load_person_mask`.
        pixels: uint8 (H, W, 3) RGB.
        landmarks: float (478, 2 or 3), pixels of the same image.

    Raises `PersonNotSeparable`.
    """
    height, width = pixels.shape[:2]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    mask = person_mask(network, picture)
    oval = np.asarray(landmarks, np.float64)[list(OVAL), :2]
    _check(mask, _inside(oval * (NETWORK_SIDE / np.array([width, height])), (NETWORK_SIDE, NETWORK_SIDE)))
    scale = min(1.0, SOLVER_SIDE / max(width, height))
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    small = _floats(picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))
    alpha = _solve(small, _trimap(mask, _inside(oval * scale, size), size))
    if scale < 1.0:
        alpha = np.asarray(
            Image.fromarray(alpha.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        )
    alpha = np.clip((alpha - HAZE) / (1 - 2 * HAZE), 0.0, 1.0)
    foreground, behind = map(_bytes, _layers(_floats(picture), alpha.astype(np.float64)))
    opacity, own = _bytes(alpha), np.asarray(picture)
    person, nobody = opacity[..., None] == 255, opacity[..., None] == 0
    return Matte(opacity, np.where(person, own, foreground), np.where(nobody, own, behind))


def person_mask(network: Network, picture: Image.Image) -> NDArray[np.float32]:
    """Output of the network: float32 (256, 256), 0 background .. 1 person."""
    small = picture.resize((NETWORK_SIDE, NETWORK_SIDE), Image.Resampling.BILINEAR)
    return network(np.asarray(small, np.float32) / np.float32(255))["mask"]


def _check(mask: NDArray[np.float32], face: NDArray[np.bool_]) -> None:
    person = int((mask > 0.5).sum())
    unsure = int(((mask > 1 - SURE) & (mask < SURE)).sum())
    if (mask < 1 - SURE).mean() < LEAST_BACKGROUND:
        raise PersonNotSeparable(
            "The person fills the whole source image, so there is no background to replace. Use a picture "
            "with more around the person, or leave out background.",
            param="background",
        )
    if not face.any() or mask[face].mean() < LEAST_FACE or unsure > MOST_UNSURE * person:
        raise PersonNotSeparable(
            "The person cannot be separated from the background of this source image. Use a picture with a "
            "plain background of another colour, or leave out background.",
            param="background",
        )


def _trimap(mask: NDArray[np.float32], face: NDArray[np.bool_], size: tuple[int, int]) -> Float:
    """1 person, 0 background, 0.5 unknown, (H, W). Other persons who stand apart are background."""
    grown = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BICUBIC))
    parts, _ = ndimage.label(grown > 1 - SURE)
    ours = np.isin(parts, np.unique(parts[face & (parts > 0)]))
    band = max(1, round(BAND * max(size) / NETWORK_SIDE))
    person = ndimage.binary_erosion(ours & (grown > SURE), iterations=band, border_value=1)
    outside = ndimage.binary_erosion(~ours | (grown < 1 - SURE), iterations=band, border_value=1)
    trimap = np.full(grown.shape, 0.5)
    trimap[person | face] = 1.0
    trimap[outside & ~face] = 0.0
    return trimap


def _inside(polygon: Float, size: tuple[int, int]) -> NDArray[np.bool_]:
    """bool (H, W): pixels inside a polygon (n, 2)."""
    image = Image.new("1", size)
    ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in polygon], fill=1)
    return np.asarray(image)


def _solve(pixels: Float, trimap: Float) -> Float:
    if not (trimap == 0.5).any():
        return trimap
    # With a smaller shift the decomposition can fail. Then it prints, and tries the next.
    matting = load_matting()
    preconditioner = partial(matting.incomplete_cholesky, shifts=SHIFTS, max_nnz=MOST_ENTRIES)
    alpha: Float = matting.estimate_alpha(pixels, trimap, preconditioner=preconditioner)
    return alpha


def _layers(pixels: Float, alpha: Float) -> tuple[Float, Float]:
    """Colours of the person and of the background, each where it is hidden too."""
    foreground, background = load_matting().estimate_foreground(pixels, alpha, return_background=True)
    # Where little of the background is seen, the estimate of its colours has those of the person.
    filled, share = (
        _continued(pixels, (alpha == 0).astype(np.float64)),
        np.minimum(1.0, 4.0 * alpha)[..., None],
    )
    return foreground, (1 - share) * background + share * filled


def _continued(pixels: Float, known: Float) -> Float:
    """Smooth continuation of the known pixels, by a pyramid (pull-push, Gortler et al. 1996).

    `known`: weights (H, W), 0 where a pixel is to be filled.
    """
    weight = known[..., None]
    if min(pixels.shape[:2]) <= 2:
        total = weight.sum()
        mean = (pixels * weight).sum(axis=(0, 1)) / total if total else pixels.mean(axis=(0, 1))
        return np.broadcast_to(mean, pixels.shape)
    height, width = pixels.shape[:2]
    rim = ((0, height % 2), (0, width % 2), (0, 0))
    sums, weights = (np.pad(values, rim) for values in (pixels * weight, weight))
    sums, weights = (_quarters(values) for values in (sums, weights))
    coarse = _continued(sums / np.maximum(weights, 1e-9), np.minimum(weights[..., 0], 1.0))
    smooth = ndimage.gaussian_filter(coarse.repeat(2, axis=0).repeat(2, axis=1), (1.0, 1.0, 0.0))
    filled: Float = weight * pixels + (1 - weight) * smooth[:height, :width]
    return filled


def _quarters(values: Float) -> Float:
    """Sums of squares of 2x2."""
    summed: Float = values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]
    return summed


def _floats(picture: Image.Image) -> Float:
    return np.asarray(picture, np.float64) / 255.0


def _bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
    return rounded
