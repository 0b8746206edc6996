"""Small values that all layers share: modes, qualities, limits, array types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PreprocessMode = Literal["crop", "extcrop", "resize", "full", "extfull"]
"""SadTalker's modes. `crop` cuts closely around the face, `extcrop` leaves more around it. `resize` squeezes
the whole source image to `size`. `full` keeps the whole source image and animates the person in place.
`extfull` does the same with a larger moving region."""

PREPROCESS_MODES: tuple[PreprocessMode, ...] = ("crop", "extcrop", "resize", "full", "extfull")

Quality = Literal["low", "medium", "high"]
QUALITIES: tuple[Quality, ...] = ("low", "medium", "high")

Lifetime = Literal["forever", "month", "week"]
"""How long a cached artefact is kept: always, 30 days or 7 days. Settings can change the last two."""

SourceType = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
"""How a video was made, as IPTC's vocabulary of digital source types calls it: by a trained model as a whole,
or as a composite of other media (the source image) with what comes from trained models."""

HEIGHT_CAP: Mapping[Quality, int] = MappingProxyType({"low": 480, "medium": 720, "high": 1080})
"""Largest height of a video, pixels. Its width is at most `width_cap`."""

MOST_FACES = 100
"""Largest number of faces of a source image that get a number."""

SHA256 = re.compile("[0-9a-f]{64}")
"""Format of a digest. A source image's id has it too."""

SPEECH_RATE = 16_000
"""Sample rate of `Speech.samples`, Hz."""

Uint8Image = NDArray[np.uint8]


def width_cap(quality: Quality) -> float:
    """Largest width of a video, pixels: 16/9 of its largest height."""
    return HEIGHT_CAP[quality] * 16 / 9
