"""What the house talks about: frozen records, with the shapes and units of every array.

Legend of shapes: H, W picture height and width in pixels; F video frames; T control ticks at 100 Hz;
N audio samples; C channels. Pictures are `uint8 (H, W, 3)` RGB with the origin at the top left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

PreprocessMode = Literal["crop", "extcrop", "resize", "full", "extfull"]
"""SadTalker's modes: `crop` the face closely, `extcrop` with more around it, `resize` the whole picture
squeezed to `size`, `full` the whole picture with the person animated in place, `extfull` the same with a
wider moving region."""

PREPROCESS_MODES: tuple[PreprocessMode, ...] = ("crop", "extcrop", "resize", "full", "extfull")

Quality = Literal["low", "medium", "high"]
QUALITIES: tuple[Quality, ...] = ("low", "medium", "high")

HEIGHT_CAP: Mapping[Quality, int] = MappingProxyType({"low": 480, "medium": 720, "high": 1080})
"""Largest height of a video, pixels; its width is at most 16/9 of that."""

Lifetime = Literal["forever", "month", "week"]
"""How long a cached artefact is kept: always, 30 days, 7 days (settings can change the two)."""

SPEECH_RATE = 16_000
"""Sample rate of `Speech.samples`, Hz."""

Uint8Image = NDArray[np.uint8]


class JsonRecord:
    """A frozen dataclass that travels as JSON. `to_json` and `from_json` are inverse."""

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        values: dict[str, Any] = _adapter(cast("Any", type(self))).dump_python(self, mode="json")
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record of which `values` are the JSON. Raises `pydantic.ValidationError` for anything else."""
        record: Self = _adapter(cast("Any", cls)).validate_python(dict(values))
        return record


@lru_cache
def _adapter(record: Any) -> TypeAdapter[Any]:
    """Making one takes milliseconds."""
    return TypeAdapter(record)


@dataclass(frozen=True, eq=False)
class Portrait:
    """A decoded source image, upright as its EXIF orientation says."""

    image_hash: str
    """sha256 of the uploaded bytes, 64 hexadecimal digits."""
    pixels: Uint8Image
    """uint8 (H, W, 3) RGB."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])

    @property
    def opened(self) -> Portrait:
        """Itself."""
        return self


@dataclass(frozen=True, eq=False)
class LazySourceImage:
    """A source image that is read and decoded when it is first needed, which for a known avatar is never."""

    image_hash: str
    """sha256 of the uploaded bytes."""
    load: Callable[[], Portrait]

    @cached_property
    def opened(self) -> Portrait:
        """The decoded picture. Raises what `load` raises."""
        return self.load()


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

    @property
    def opened(self) -> Speech:
        """Itself."""
        return self


@dataclass(frozen=True, eq=False)
class LazySpeech:
    """A driven audio that is decoded when its samples are first needed, which for a known one is never."""

    audio_hash: str
    """sha256 of the uploaded bytes."""
    duration: float
    """Seconds, as the decoded samples have them."""
    path: Path
    """As of `Speech`."""
    load: Callable[[], Speech]

    @cached_property
    def opened(self) -> Speech:
        """The decoded recording. Raises what `load` raises."""
        return self.load()


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
    """A video to be encoded: a constant background, and a rectangle of it that changes.

    Frame i is `background` with rows y0:y1 and columns x0:x1 replaced by the i-th picture of `batches`:
    outside of the box every frame is the background, bit for bit, and costs nothing.
    """

    background: Uint8Image
    """uint8 (H, W, 3) RGB; H and W are even."""
    box: tuple[int, int, int, int]
    """(x0, y0, x1, y1), all even, inside the background; the whole background when everything moves."""
    fps: int
    frames: int
    batches: Iterator[Uint8Image]
    """uint8 (n, y1 - y0, x1 - x0, 3) RGB, n >= 1. A batch is valid until the next one is asked for."""


@dataclass(frozen=True)
class Progress(JsonRecord):
    """How far the making of a video is."""

    stage: str
    """Name of the engine's stage, or `speech_features`, `drive`, `render`."""
    frame: int = 0
    """Frames rendered so far."""
    total: int = 0
    """Frames of the whole video, 0 while that is not known."""
    fps: float = 0.0
    """Frames rendered per second since the first one was begun."""
    eta_seconds: float | None = None
    """Seconds until the last frame at that speed, None while there is none."""

    @property
    def percent(self) -> float:
        """0..100, of the frames."""
        return 100.0 * self.frame / self.total if self.total else 0.0


@dataclass(frozen=True)
class VideoResult(JsonRecord):
    """A finished video and what its making took: all measured."""

    engine: str
    width: int
    height: int
    fps: int
    frames: int
    video_seconds: float
    """Length of the video."""
    size_bytes: int
    total_seconds: float
    """From the opened input to the finished file; of a job, from its start to the published video."""
    seconds: Mapping[str, float]
    """Stage -> seconds. The encoder's stages (`encode`, `sound`, `mux`, `starve`) run beside the others."""
    saved_seconds: float
    """What computing the artefacts that came out of the cache had cost, less what getting them took."""
    cache_hits: tuple[str, ...] = ()
    """Kinds of artefacts that came out of the cache."""
    cache_misses: tuple[str, ...] = ()
    """Kinds of artefacts that were computed."""
    warnings: tuple[str, ...] = ()
    """What was asked for and not applied, and other things worth knowing."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of video made per second of work: above 1 is faster than real time."""
        return self.video_seconds / self.total_seconds if self.total_seconds > 0 else float("inf")
