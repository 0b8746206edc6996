"""The 68 landmarks of iBUG 300-W, which define crop and alignment, selected from the 478 of `faces`.

Left and right are those of the image, as in 300-W: `left` is the person's right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

JAW = (127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
NOSE = (168, 197, 5, 1, 98, 97, 2, 326, 327)
EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
MOUTH = (61, 40, 37, 0, 267, 270, 291, 321, 405, 17, 181, 91)
OPENING = (78, 81, 13, 311, 308, 402, 14, 178)

LAYOUT: NDArray[np.intp] = np.array(JAW + BROWS + NOSE + EYES + MOUTH + OPENING)
"""(68,) index of each of the 68 landmarks among the 478."""
LAYOUT.setflags(write=False)

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
"""Corner, upper lid, corner, lower lid: six points each."""
LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER = 48, 54
NOSE_TIP = 30
"""Of the landmarks around the tip, the one closest to the mean face of `alignment`: 2.7 pixels of 224 off on
average over eleven images. The next ones are 4.1 and 4.5 off."""


def to_68(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """(478, 2 or 3) landmarks in pixels -> (68, 2).

    Crop and alignment use fifteen of them: the eyes, the tip of the nose and the corners of the mouth.
    """
    return np.asarray(landmarks[LAYOUT, :2], np.float64)


def five_points(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """(68, 2) -> (5, 2): left eye, right eye, tip of the nose, left and right corner of the mouth.

    An eye is the middle of its two corners here. The lids do not count.
    """
    p = np.asarray(landmarks, np.float64)
    eyes = [p[[eye.start, eye.start + 3]].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
    return np.stack([*eyes, p[NOSE_TIP], p[LEFT_MOUTH_CORNER], p[RIGHT_MOUTH_CORNER]])
