"""The example portrait with its landmarks, found once, and faces made from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.domain import Artefact, Portrait
from sadtalker_service.faces.landmarker import FaceLandmarker

EXAMPLE = Path(__file__).parents[3] / "examples" / "portrait.jpg"


@pytest.fixture(scope="session")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker()


@pytest.fixture(scope="session")
def portrait() -> Portrait:
    """512×512, one face about 106 pixels high, smiling with its teeth."""
    return Portrait("", np.array(Image.open(EXAMPLE).convert("RGB")))


@pytest.fixture(scope="session")
def landmarks(portrait: Portrait, landmarker: FaceLandmarker) -> NDArray[np.float32]:
    """float32 (478, 3), pixels of the portrait."""
    return landmarker.detect(portrait.pixels).landmarks


@pytest.fixture(scope="session")
def detection(landmarks: NDArray[np.float32]) -> Artefact:
    """The stage `face_detection` as the rig needs it."""
    return Artefact({"landmarks": landmarks}, {"quarter_turns": 0})
