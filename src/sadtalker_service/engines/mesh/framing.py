"""Give a video another shape: 16:9, 9:16 or 1:1, with room above the head.

The window is cut out of the picture as it was laid out. If the person was cut out, it may also reach beyond
the picture where nothing of the person ends at its border: above, and to the sides down to the row in which
the person touches that border.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import HEIGHT_CAP, Quality, Rendering, Uint8Image
from sadtalker_service.engines.mesh.canvas import Rect
from sadtalker_service.engines.mesh.layout import Layout
from sadtalker_service.errors import InvalidOption
from sadtalker_service.faces.landmarker import CHIN, FOREHEAD
from sadtalker_service.faces.topology import LANDMARKS, OVAL

RATIOS = {"16:9": 16 / 9, "9:16": 9 / 16, "1:1": 1.0}
HEAD_ROOM, CHIN_ROOM = 0.22, 0.3
"""Free height above the hair, and least height kept below the chin, in face heights."""
HAIR = 0.38
"""Assumed height of the hair above the face, in face heights, if it cannot be measured."""
HEAD_WIDTH = 1.45
"""Width that a window of a cut-out person should have at least, in face widths."""
SEEN = 32
"""Opacity from which on a pixel counts as part of the person, of 255."""


@dataclass(frozen=True)
class Head:
    """Where the head is, in pixels of the video."""

    x: float
    """Middle of the face."""
    hair: float
    """Top of the hair."""
    face: float
    """Top of the face."""
    chin: float
    width: float
    """Of the face."""

    @property
    def height(self) -> float:
        """Of the face."""
        return self.chin - self.face


def window_of(layout: Layout, ratio: str, quality: Quality) -> Rect:
    """The window of this shape, even sides, in pixels of the laid-out picture; it may reach beyond it.

    Raises `InvalidOption` if the face does not fit into it.
    """
    size = (layout.background.shape[1], layout.background.shape[0])
    cut_out = layout.background.shape[2] == 4 and layout.behind is None
    alpha = layout.background[..., 3] if cut_out else None
    head, shape = _head(layout, alpha), RATIOS[ratio]
    found = _beyond(head, alpha, shape, HEIGHT_CAP[quality]) if alpha is not None else None
    x0, y0, x1, y1 = found or _inside(head, size, shape, ratio)
    width, height = max(2, round((x1 - x0) / 2) * 2), max(2, round((y1 - y0) / 2) * 2)
    left, top = round(x0 / 2) * 2, round(y0 / 2) * 2
    if found is None:
        left, top = min(left, size[0] - width), min(top, size[1] - height)
    return left, top, left + width, top + height


def framed(rendering: Rendering, window: Rect) -> Rendering:
    """The rendering as this window shows it; what lies beyond the picture is transparent."""
    wx0, wy0, wx1, wy1 = window
    height, width, channels = rendering.background.shape
    background = np.zeros((wy1 - wy0, wx1 - wx0, channels), np.uint8)
    x0, y0, x1, y1 = max(wx0, 0), max(wy0, 0), min(wx1, width), min(wy1, height)
    background[y0 - wy0 : y1 - wy0, x0 - wx0 : x1 - wx0] = rendering.background[y0:y1, x0:x1]
    bx0, by0, bx1, by1 = rendering.box
    box = (max(bx0, x0), max(by0, y0), min(bx1, x1), min(by1, y1))
    part = (slice(box[1] - by0, box[3] - by0), slice(box[0] - bx0, box[2] - bx0))
    moved = (box[0] - wx0, box[1] - wy0, box[2] - wx0, box[3] - wy0)
    return replace(rendering, background=background, box=moved, batches=_parts(rendering, part))


def _parts(rendering: Rendering, part: tuple[slice, slice]) -> Iterator[Uint8Image]:
    for batch in rendering.batches:
        yield batch[:, part[0], part[1]]


def _head(layout: Layout, alpha: NDArray[np.uint8] | None) -> Head:
    scene = layout.scene
    corner = np.array(layout.box[:2], np.float64)
    at = scene.rest[:LANDMARKS].astype(np.float64) @ scene.projection.T + scene.origin + corner
    oval = at[list(OVAL)]
    x, width = float(oval[:, 0].mean()), float(np.ptp(oval[:, 0]))
    face, chin = float(at[FOREHEAD, 1]), float(at[CHIN, 1])
    hair = max(0.0, face - HAIR * (chin - face))
    if alpha is not None:
        columns = alpha[:, max(0, int(x - width / 2)) : max(1, int(x + width / 2))]
        rows = np.flatnonzero((columns > 128).any(axis=1))
        hair = float(rows[0]) if len(rows) else hair
    return Head(x, hair, face, chin, width)


def _beyond(
    head: Head, alpha: NDArray[np.uint8], shape: float, cap: int
) -> tuple[float, float, float, float] | None:
    """The highest window that shows no place where the picture cuts the person off; None if there is none."""
    height, width = alpha.shape
    room = HEAD_ROOM * head.height
    is_open = alpha[0].max() < SEEN
    touched = [_first_row(alpha[:, column]) for column in (0, -1)]
    for bottom in range(height, int(head.chin + CHIN_ROOM * head.height), -2):
        top = head.hair - room if is_open else max(0.0, head.hair - room)
        if is_open:  # a narrow window becomes higher until the head fits
            top = min(top, bottom - HEAD_WIDTH * head.width / shape)
        top = max(top, bottom - cap)
        wide = (bottom - top) * shape
        left = head.x - wide / 2
        if left < 0 and bottom > touched[0] and wide <= width:
            left = 0.0
        if left + wide > width and bottom > touched[1] and wide <= width:
            left = width - wide
        fits_left = left >= 0 or bottom <= touched[0]
        fits_right = left + wide <= width or bottom <= touched[1]
        if fits_left and fits_right:
            return left, top, left + wide, float(bottom)
    return None


def _first_row(column: NDArray[np.uint8]) -> int:
    """First row in which the person touches this border of the picture."""
    rows = np.flatnonzero(column >= SEEN)
    return int(rows[0]) if len(rows) else len(column)


def _inside(head: Head, size: tuple[int, int], shape: float, ratio: str) -> tuple[float, float, float, float]:
    """The largest window inside the picture. Raises `InvalidOption` if the face does not fit."""
    wide = min(size[0], size[1] * shape)
    high = wide / shape
    margin = 0.08 * head.height
    top = min(max(head.hair - HEAD_ROOM * head.height, 0.0), size[1] - high)
    top = max(top, min(head.chin + margin - high, size[1] - high))
    if top > max(0.0, head.face - margin) or wide < head.width:
        raise InvalidOption(
            f"The face does not fit into a video of {ratio} from this picture. Use a picture with more "
            "around the face, or another aspect_ratio. With a background, the video may be larger than the "
            "picture, if the shoulders do not touch its sides.",
            param="aspect_ratio",
        )
    left = min(max(head.x - wide / 2, 0.0), size[0] - wide)
    return left, top, left + wide, top + high
