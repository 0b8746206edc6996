"""What the house talks about: frozen records, with the shapes and units of every array.

Legend of shapes: H, W picture height and width in pixels; F video frames; T control ticks at 100 Hz;
N audio samples; C channels. Pictures are `uint8 (H, W, 3)` RGB with the origin at the top left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

PreprocessMode = Literal["crop", "extcrop", "resize", "full", "extfull"]
"""SadTalker's modes: `crop` the face closely, `extcrop` with more around it, `resize` the whole picture
squeezed to `size`, `full` the whole picture with the person animated in place, `extfull` the same with a
wider moving region."""

PREPROCESS_MODES: tuple[PreprocessMode, ...] = ("crop", "extcrop", "resize", "full", "extfull")

Quality = Literal["low", "medium", "high"]
QUALITIES: tuple[Quality, ...] = ("low", "medium", "high")

HEIGHT_CAP: Mapping[Quality, int] = MappingProxyType({"low": 480, "medium": 720, "high": 1080})
"""Largest height of a video, pixels; its width is at most 16/9 of that."""

SPEECH_RATE = 16_000
"""Sample rate of `Speech.samples`, Hz."""

Uint8Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A decoded source image, upright as its EXIF orientation says."""

    image_hash: str
    """sha256 of the uploaded bytes, 64 hexadecimal digits."""
    pixels: Uint8Image
    """uint8 (H, W, 3) RGB."""
    face_index: int = 0
    """Which of its faces shall speak: 0 is the largest, 1 the next."""
    warnings: tuple[str, ...] = ()
    """What was guessed or left out on the way from the file to the pixels."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])


@dataclass(frozen=True, eq=False)
class Speech:
    """A decoded driven audio."""

    audio_hash: str
    """sha256 of the uploaded bytes."""
    samples: NDArray[np.float32]
    """float32 (N,), mono, 16 kHz, nominally -1..1, finite."""
    path: Path
    """The recording as it was given: its sound, at its own rate, goes into the video."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / SPEECH_RATE


@dataclass(frozen=True)
class Track:
    """A piecewise linear head angle over the video, as SadTalker's `input_yaw` etc.: degrees, evenly spaced
    from the first frame to the last."""

    degrees: tuple[float, ...]


@dataclass(frozen=True)
class GestureCue:
    """A gesture that starts at a time, written `nod_yes@1.5`."""

    name: str
    at: float
    """Seconds from the start of the video."""


@dataclass(frozen=True)
class Style:
    """How the person shall speak and how the video shall look. Names are SadTalker's where it has them."""

    preprocess: PreprocessMode = "full"
    still: bool = False
    """Freeze the head (blinks and breathing go on)."""
    expression_scale: float = 1.0
    """Amplitude of mouth and face motion, 0..3; 1 is natural."""
    pose_style: int = 0
    """0..45: one of 46 seeded styles of head motion."""
    size: int = 512
    """Side of a cropped video in pixels (256 or 512 for the neural engine)."""
    quality: Quality = "medium"
    """Cap on the height of the video and effort of the encoder: low 480, medium 720, high 1080."""
    fps: int = 25
    """Frames per second: 24, 25, 30, 50 or 60."""
    input_yaw: Track | None = None
    input_pitch: Track | None = None
    input_roll: Track | None = None
    gestures: tuple[GestureCue, ...] = ()
    seed: int = 0
    """Seed of everything random (blinks, gaze, head motion): equal seeds give equal videos."""


@dataclass(frozen=True, eq=False)
class Artefact:
    """The result of one stage: named arrays and a small JSON record. Serialisable, enough to go on from."""

    arrays: Mapping[str, NDArray[Any]]
    record: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """JSON values only."""
    seconds: float = 0.0
    """What computing it took, 0 where nobody measured. Whoever computes for a cache notes it."""

    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(int(a.nbytes) for a in self.arrays.values())


@dataclass(frozen=True, eq=False)
class Avatar:
    """A portrait after every stage of an engine: all that driving and rendering need."""

    image_hash: str
    engine: str
    mode: PreprocessMode
    artefacts: Mapping[str, Artefact]
    """Stage name -> artefact."""
    face_index: int = 0
    """Which of the portrait's faces it is."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was guessed or left out on the way to it: every artefact's record may have `warnings`."""
        said = (line for artefact in self.artefacts.values() for line in artefact.record.get("warnings", ()))
        return tuple(dict.fromkeys(said))


@dataclass(frozen=True, eq=False)
class Motion:
    """Per-frame coefficients of an engine. Knows nothing of pixels."""

    fps: int
    coefficients: Mapping[str, NDArray[np.float32]]
    """Named arrays, each float32 (F, ...)."""
    record: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def frames(self) -> int:
        """Number of frames F."""
        return len(next(iter(self.coefficients.values())))


@dataclass(frozen=True, eq=False)
class Rendering:
    """A video to be encoded: a constant plate, and a rectangle of it that changes.

    Frame i is `plate` with rows y0:y1 and columns x0:x1 replaced by the i-th picture of `batches`:
    outside of the box every frame is the plate, bit for bit, and costs nothing.
    """

    plate: Uint8Image
    """uint8 (H, W, 3) RGB; H and W are even."""
    box: tuple[int, int, int, int]
    """(x0, y0, x1, y1), all even, inside the plate; the whole plate when everything moves."""
    fps: int
    frames: int
    batches: Iterator[Uint8Image]
    """uint8 (n, y1 - y0, x1 - x0, 3) RGB, n >= 1. A batch is valid until the next one is asked for."""
