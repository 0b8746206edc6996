"""Meaning and connectivity of the 478 face landmarks.

Landmarks 0-467 are the MediaPipe face mesh. Landmarks 468-472 are the iris of the person's right eye (centre,
then four points of its rim), and 473-477 the iris of the left eye. `right` and `left` are from the person's
own view, so the right eye is on the left side of an unmirrored image. Lists for both lips run from the right
side of the face to the left. Lists for the eyes are mirrored and run from the outer to the inner corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

LANDMARKS = 478
"""Number of landmarks."""

MESH_LANDMARKS = 468
"""Number of surface landmarks. The rest are the irises."""

Ring = tuple[int, ...]


@dataclass(frozen=True)
class Eye:
    """Landmarks of one eye.

    Lids and rings have seven points each, from the outer corner to the inner corner. Their k-th points lie on
    one line across the eye.
    """

    corners: tuple[int, int]
    """Outer, inner."""
    upper_lid: Ring
    lower_lid: Ring
    rings_above: tuple[Ring, Ring]
    """Upwards from the lid: the crease, and the fold under the brow."""
    rings_below: tuple[Ring, Ring]
    """Downwards from the lid."""
    iris: Ring
    """Centre, then four points of the rim."""

    @property
    def contour(self) -> Ring:
        """The 16 points around the opening: outer corner, lower lid, inner corner, upper lid in reverse."""
        return (self.corners[0], *self.lower_lid, self.corners[1], *reversed(self.upper_lid))


RIGHT_EYE = Eye(
    corners=(33, 133),
    upper_lid=(246, 161, 160, 159, 158, 157, 173),
    lower_lid=(7, 163, 144, 145, 153, 154, 155),
    rings_above=((247, 30, 29, 27, 28, 56, 190), (113, 225, 224, 223, 222, 221, 189)),
    rings_below=((25, 110, 24, 23, 22, 26, 112), (31, 228, 229, 230, 231, 232, 233)),
    iris=(468, 469, 470, 471, 472),
)
LEFT_EYE = Eye(
    corners=(263, 362),
    upper_lid=(466, 388, 387, 386, 385, 384, 398),
    lower_lid=(249, 390, 373, 374, 380, 381, 382),
    rings_above=((467, 260, 259, 257, 258, 286, 414), (342, 445, 444, 443, 442, 441, 413)),
    rings_below=((255, 339, 254, 253, 252, 256, 341), (261, 448, 449, 450, 451, 452, 453)),
    iris=(473, 474, 475, 476, 477),
)
EYES: tuple[Eye, Eye] = (RIGHT_EYE, LEFT_EYE)
"""Right, left."""

UPPER_LIP: tuple[Ring, Ring, Ring, Ring] = (
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306),
    (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
)
"""Rings of the upper lip from its outer border to the opening. Each has eleven points, from the right corner
of the mouth to the left. Its first and last points also belong to the ring of the lower lip."""

LOWER_LIP: tuple[Ring, Ring, Ring, Ring] = (
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306),
    (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
)
"""Rings of the lower lip, in the form of `UPPER_LIP`."""

LIPS: tuple[int, ...] = tuple(sorted({i for ring in UPPER_LIP + LOWER_LIP for i in ring}))
"""All 80 landmarks of both lips, ascending."""

MOUTH_OPENING: Ring = UPPER_LIP[-1] + LOWER_LIP[-1][-2:0:-1]
"""The 20 points around the opening: along the upper lip to the left corner, and back along the lower lip."""

BROWS: tuple[Ring, Ring] = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
"""Right, left. Each is a closed ring: the upper edge inwards from the temple, and the lower edge back."""

OVAL: Ring = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The 36 points around the face: from the top of the forehead down its left side to the chin and back up."""


def _load_triangles() -> NDArray[np.int32]:
    with (files(__package__) / "models" / "triangles.npy").open("rb") as file:
        triangles: NDArray[np.int32] = np.load(file, allow_pickle=False).astype(np.int32)
    triangles.setflags(write=False)
    return triangles


TRIANGLES: NDArray[np.int32] = _load_triangles()
"""int32 (852, 3), read-only: the triangles of the mesh. Seen from the front, all run counterclockwise, that
is, (p1 - p0) × (p2 - p0) < 0 with y down.

The mesh is a disc with border `OVAL` and three holes: the two eyes and the mouth opening, bordered by
`Eye.contour` and `MOUTH_OPENING`. docs/models.md describes how the file was made.
"""
