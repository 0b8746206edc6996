"""The example source image, and one landmarker for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sadtalker_service.faces.landmarker import FaceLandmarker

SOURCE_IMAGE = Path(__file__).parents[2] / "examples" / "portrait.jpg"


@pytest.fixture(scope="session")
def source_image() -> NDArray[np.uint8]:
    """uint8 (512, 512, 3): one face, about 106 pixels high, a little left of the middle."""
    return np.array(Image.open(SOURCE_IMAGE))


@pytest.fixture(scope="session")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker()
