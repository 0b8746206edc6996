"""478 landmarks of one face, with MediaPipe's attention mesh (Grishchenko et al. 2020, arXiv:2006.10962)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Uint8Image
from sadtalker_service.faces.detector import Candidate
from sadtalker_service.faces.networks import Network
from sadtalker_service.faces.sampling import Square, into_picture, sample

INPUT_SIZE = 192
"""Side of the network's input, pixels."""

MARGIN = 1.5
"""Side of the square that the network receives, in sides of the detector's box."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Landmarks of one face."""

    landmarks: NDArray[np.float32]
    """float32 (478, 3): x, y in pixels, and z in the same unit, smaller towards the camera."""
    presence: float
    """Confidence of the network that the square shows a face, 0..1."""


class RefinedMesh:
    """The landmark network. Safe to call from several threads at once."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def landmarks(self, pixels: Uint8Image, face: Candidate) -> Mesh:
        """Landmarks of a detected face."""
        square = face_square(face)
        matrix = square.matrix(INPUT_SIZE)
        outputs = self._network(sample(pixels, matrix, INPUT_SIZE, "repeat") * np.float32(1 / 255))
        points = outputs["landmarks"]
        xy = into_picture(matrix, points[:, :2])
        z = points[:, 2:] * (square.side / INPUT_SIZE)
        presence = 1 / (1 + np.exp(-float(outputs["presence"][0])))
        return Mesh(np.concatenate([xy, z], axis=1).astype(np.float32), presence)


def face_square(face: Candidate) -> Square:
    """The square around a face, rotated so that its eyes are level."""
    return Square(*face.centre, face.side * MARGIN, face.roll)
