"""The seam and the cost of pasting a face: blending compared with Poisson's equation solved for each frame.

    .venv/bin/python benchmarks/pasting.py [SOURCE_IMAGE]

The frame does not come from the networks. It is a distorted crop of the source image: moved, softened,
brightened, with and without a dark edge.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dstn, idstn
from scipy.ndimage import gaussian_filter, map_coordinates

from sadtalker_service.engines.sadtalker.alignment.cropping import cut, plan_crop, to_square
from sadtalker_service.engines.sadtalker.alignment.landmarks68 import to_68
from sadtalker_service.engines.sadtalker.pasting import Paste, plan_paste
from sadtalker_service.faces.landmarker import FaceLandmarker

EXAMPLE = Path(__file__).parents[1] / "examples" / "portrait.jpg"
RUNS = 15

Picture = NDArray[np.uint8]


def drawn_frame(square: Picture, dark_edge: bool) -> Picture:
    """A frame like the networks might draw: the face has moved, the edge slightly, everything is softer and
    brighter, and the outermost pixels may be dark."""
    size = len(square)
    v, u = np.mgrid[:size, :size].astype(np.float64)
    x, y = (u - size / 2) / size, (v - size / 2) / size
    near = np.exp(-8 * (x * x + y * y))
    where = [v + 0.004 * size * (1 + 3 * near), u - 0.003 * size * (1 + 4 * near)]
    moved = np.stack([map_coordinates(square[..., k].astype(float), where, order=1, mode="nearest")
                      for k in range(3)], axis=-1)  # fmt: skip
    soft = gaussian_filter(moved, (0.6, 0.6, 0)) * 1.03 + 4
    if not dark_edge:
        return np.clip(soft, 0, 255).astype(np.uint8)
    edge = np.minimum.reduce([u, v, size - 1 - u, size - 1 - v]) / (0.016 * size)
    return np.clip(soft * np.clip(0.5 + 0.5 * edge, 0, 1)[..., None], 0, 255).astype(np.uint8)


def scaled(frame: Picture, paste: Paste) -> Picture:
    """A frame at the size of the box, not blended, as in a plain copy."""
    x0, y0, x1, y1 = paste.box
    left, top, right, bottom = (share * len(frame) for share in paste.view)
    box = (left, top, right, bottom)
    image = Image.fromarray(frame).resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image)


def poisson(inside: Picture, original: Picture) -> Picture:
    """The frame plus the smoothest correction that matches the source image in the outermost pixels.

    Perez et al. 2003, with the source image as boundary. Solved exactly by sine transforms, much like
    OpenCV's seamlessClone. Both (h, w, 3).
    """
    gap = original.astype(np.float64) - inside
    h, w = gap.shape[0] - 2, gap.shape[1] - 2
    right = np.zeros((h, w, 3))
    right[0] += gap[0, 1:-1]
    right[-1] += gap[-1, 1:-1]
    right[:, 0] += gap[1:-1, 0]
    right[:, -1] += gap[1:-1, -1]
    rows = 2 - 2 * np.cos(np.pi * np.arange(1, h + 1) / (h + 1))
    columns = 2 - 2 * np.cos(np.pi * np.arange(1, w + 1) / (w + 1))
    spectrum = dstn(right, type=1, axes=(0, 1)) / (rows[:, None] + columns)[..., None]
    gap[1:-1, 1:-1] = idstn(spectrum, type=1, axes=(0, 1))
    return np.clip(np.rint(inside + gap), 0, 255).astype(np.uint8)


def pasted_by_poisson(frame: Picture, paste: Paste, original: Picture) -> Picture:
    """The complete Poisson method for one frame."""
    return poisson(scaled(frame, paste), original)


def blended(frame: Picture, paste: Paste) -> Picture:
    """The engine's own method."""
    return paste.frames(frame[None])[0]


def step_across(inside: Picture, paste: Paste) -> float:
    """Mean difference, in grey levels, of the pixels on both sides of the box's border.

    Ignores sides on the border of the image.
    """
    whole = paste.background.copy()
    x0, y0, x1, y1 = paste.box
    whole[y0:y1, x0:x1] = inside
    height, width = whole.shape[:2]
    grey = whole.astype(np.float64)
    steps = []
    if x0 > 2:
        steps.append(grey[y0:y1, x0] - grey[y0:y1, x0 - 1])
    if x1 < width - 2:
        steps.append(grey[y0:y1, x1 - 1] - grey[y0:y1, x1])
    if y0 > 2:
        steps.append(grey[y0, x0:x1] - grey[y0 - 1, x0:x1])
    if y1 < height - 2:
        steps.append(grey[y1 - 1, x0:x1] - grey[y1, x0:x1])
    return float(np.abs(np.concatenate(steps)).mean())


def excess_slope(inside: Picture, frame: Picture, paste: Paste) -> float:
    """Mean over the band of how much steeper the result is than both the frame and the source image, in grey
    levels."""

    def slope(picture: Picture) -> NDArray[np.float64]:
        return np.hypot(*np.gradient(picture.astype(np.float64).mean(axis=-1)))

    x0, y0, x1, y1 = paste.box
    band = np.zeros(inside.shape[:2], bool)
    for part in paste.bands:
        band[part.place] = True
    excess = slope(inside) - np.maximum(slope(frame), slope(paste.background[y0:y1, x0:x1]))
    return float(np.maximum(excess, 0)[band].mean())


def scene(picture: Picture, scale: float, *, dark_edge: bool) -> tuple[Paste, Picture]:
    """(paste, frame of 256) of a source image in mode `full`, enlarged by `scale`."""
    found = FaceLandmarker().detect(picture)
    crop = plan_crop(to_68(found.landmarks), (picture.shape[1], picture.shape[0]))
    rect = crop.rectangle("full")
    frame = drawn_frame(to_square(cut(picture, rect), 256), dark_edge)
    size = tuple(2 * round(side * scale / 2) for side in (picture.shape[1], picture.shape[0]))
    background = np.asarray(Image.fromarray(picture).resize((size[0], size[1]), Image.Resampling.BICUBIC))
    x0, y0, x1, y1 = (side * scale for side in rect)
    return plan_paste(background, (x0, y0, x1, y1)), frame


def milliseconds(work: Callable[[], object]) -> float:
    """Median of several runs."""
    times = []
    for _ in range(RUNS):
        start = perf_counter()
        work()
        times.append((perf_counter() - start) * 1e3)
    return float(np.median(times))


def main() -> None:
    """Print the table."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLE
    picture = np.asarray(Image.open(path).convert("RGB"))
    print("| box | edge | way | step across the border | steeper than either | ms per frame |")
    print("|---|---|---|---|---|---|")
    for scale, dark_edge in product((1.0, 2.0, 3.0), (True, False)):
        paste, frame = scene(picture, scale, dark_edge=dark_edge)
        x0, y0, x1, y1 = paste.box
        original = paste.background[y0:y1, x0:x1]
        plain = scaled(frame, paste)
        ways: dict[str, Callable[[], Picture]] = {
            "source image": partial(np.asarray, original),
            "copy": partial(scaled, frame, paste),
            "Poisson": partial(pasted_by_poisson, frame, paste, original),
            "blend": partial(blended, frame, paste),
        }
        for name, way in ways.items():
            result = way()
            excess = "" if name in ("source image", "copy") else f"{excess_slope(result, plain, paste):.2f}"
            edge = "dark" if dark_edge else "plain"
            time = "" if name == "source image" else f"{milliseconds(way):.2f}"
            step = step_across(result, paste)
            print(f"| {x1 - x0} x {y1 - y0} | {edge} | {name} | {step:.2f} | {excess} | {time} |")


if __name__ == "__main__":
    main()
