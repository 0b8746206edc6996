"""The example source image with its landmarks, found once, and faces made from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.domain import Artefact, SourceImage
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.faces.topology import OVAL

EXAMPLE = Path(__file__).parents[3] / "examples" / "portrait.jpg"


@pytest.fixture(scope="session")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker()


@pytest.fixture(scope="session")
def source_image() -> SourceImage:
    """512×512, one face about 106 pixels high, smiling with its teeth."""
    return SourceImage("", np.array(Image.open(EXAMPLE).convert("RGB")))


@pytest.fixture(scope="session")
def landmarks(source_image: SourceImage, landmarker: FaceLandmarker) -> NDArray[np.float32]:
    """float32 (478, 3), pixels of the source image."""
    return landmarker.detect(source_image.pixels).landmarks


@pytest.fixture(scope="session")
def face_at(
    landmarks: NDArray[np.float32],
) -> Callable[[tuple[int, int], float, float, float], NDArray[np.float32]]:
    """The landmarks of the source image, moved and scaled into a picture of a (width, height).

    The oval has 0.15 (`share` 0) to 0.99 (1) of the largest size that fits, and lies x and y of the way from
    one border to the other; beyond 0..1 it is cut off.
    """

    def place(size: tuple[int, int], share: float, x: float, y: float) -> NDArray[np.float32]:
        oval = landmarks[list(OVAL), :2]
        low, extent = oval.min(axis=0), np.ptp(oval, axis=0)
        scale = (0.15 + 0.84 * share) * (np.array(size) / extent).min()
        out = landmarks.astype(np.float64) * scale
        out[:, :2] += (np.array(size) - extent * scale) * (x, y) - low * scale
        return out.astype(np.float32)

    return place


@pytest.fixture(scope="session")
def detection(landmarks: NDArray[np.float32]) -> Artefact:
    """The stage `face_detection` as the rig needs it."""
    return Artefact({"landmarks": landmarks}, {"quarter_turns": 0})
