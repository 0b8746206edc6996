"""The first stage of engines that begin with a face: where it is, and the turns that make it upright."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact, Portrait, Uint8Image
from sadtalker_service.faces.landmarker import FaceLandmarker

DETECTION = "face_detection"
"""Name of the stage."""


def detect_face(landmarker: FaceLandmarker, portrait: Portrait) -> Artefact:
    """Box, score, landmarks of the largest face, and the turns that make it upright.

    Raises `NoFaceFound`, `FaceTooSmall`.
    """
    found = landmarker.detect(portrait.pixels)
    return Artefact(
        {"landmarks": found.landmarks},
        {
            "box": [float(v) for v in found.box],
            "score": float(found.score),
            "faces": found.faces,
            "quarter_turns": found.quarter_turns,
        },
    )


def upright(portrait: Portrait, artefacts: Mapping[str, Artefact]) -> Uint8Image:
    """The portrait's pixels turned upright, as the detection found them to be needed."""
    return np.rot90(portrait.pixels, artefacts[DETECTION].record["quarter_turns"])


def landmarks_of(artefacts: Mapping[str, Artefact]) -> NDArray[np.float32]:
    """(478, 3) landmarks in pixels of the upright portrait."""
    landmarks: NDArray[np.float32] = artefacts[DETECTION].arrays["landmarks"]
    return landmarks
