"""The records that all rooms share, and the words for them. Frozen; every array has its shape and unit.

Glossary, one word for one thing:

- source image: the uploaded picture of a face. Its `image_id` is the sha256 of its bytes (`image_hash`).
- avatar: what is prepared from a source image in one preprocess mode, ready to be animated.
- driven audio: the recording that the avatar speaks. `audio_hash` is the sha256 of its bytes.
- speech features: what an engine extracts from driven audio; for mesh, phonemes and mouth articulation.
- phonemes: the speech sounds that were recognised, with their times.
- motion: coefficients per frame that follow from speech features and options; knows nothing of pixels.
- video: the finished mp4. A rendering is its frames while they are drawn.
- session: one request for a video, from the queue to its end. An attempt is one worker's try at it.
- lane: the queue a session waits in, `vip` or `standard`.
- worker: a process that prepares avatars and renders videos.
- engine: draws videos; `mesh` or `sadtalker`. A stage is one step of an engine's preparation.
- artefact: the result of a stage, named arrays and a record; cached under its own key.

Legend of shapes: H, W picture height and width in pixels; F video frames; T control ticks at 100 Hz;
N audio samples; C channels. Pictures are `uint8 (H, W, 3)` RGB with the origin at the top left.
"""

from __future__ import annotations

import re
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

Lifetime = Literal["forever", "month", "week"]
"""How long a cached artefact is kept: always, 30 days, 7 days (settings can change the two)."""

HEIGHT_CAP: Mapping[Quality, int] = MappingProxyType({"low": 480, "medium": 720, "high": 1080})
"""Largest height of a video, pixels; its width is at most `width_cap`."""

MOST_FACES = 100
"""So many faces of a source image are numbered at most."""

SHA256 = re.compile("[0-9a-f]{64}")
"""How a digest is written, which is also the name of an image."""

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
class SourceImage:
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

    @property
    def opened(self) -> SourceImage:
        """Itself."""
        return self


@dataclass(frozen=True, eq=False)
class LazySourceImage:
    """A source image that is read and decoded when it is first needed, which for a known avatar is never."""

    image_hash: str
    """sha256 of the uploaded bytes."""
    load: Callable[[], SourceImage]

    @cached_property
    def opened(self) -> SourceImage:
        """The decoded picture. Raises what `load` raises."""
        return self.load()


@dataclass(frozen=True)
class SoundReading:
    """How the sound of a file is read, so that lips and video hear the same."""

    track: int = 0
    """Which of its sound tracks, from 0 on."""
    gain: float = 1.0
    """What samples are multiplied by: below 1 where they go beyond full scale."""
    opposed: bool = False
    """Whether left and right hold the same voice with opposite signs: right is turned round then."""


@dataclass(frozen=True)
class TimedLabel(JsonRecord):
    """A phoneme or a word, and when it is spoken."""

    label: str
    """A phoneme as in `speech.phonemes`, or a word as it was written."""
    start: float
    """Seconds from the start of the sound."""
    end: float
    """Seconds, at least `start`."""


@dataclass(frozen=True)
class SpokenTimeline(JsonRecord):
    """What a synthesised voice says when: exact, nothing has to be recognised."""

    phonemes: tuple[TimedLabel, ...]
    """In order of time, without overlap, pauses among them."""
    words: tuple[TimedLabel, ...]
    """In order of time, each with the punctuation that follows it. Empty where the voice cannot tell."""


@dataclass(frozen=True)
class SpokenText(JsonRecord):
    """A text that a voice speaks, in place of a recording."""

    text: str
    """Plain, or with the SSML elements of `speech.voices.markup`."""
    voice: str
    """Id of a voice, resolved."""
    rate: float = 1.0
    """How fast: 1 is the voice's own rate, 2 twice as fast."""


@dataclass(frozen=True, eq=False)
class Speech:
    """A decoded driven audio."""

    audio_hash: str
    """sha256 of the uploaded bytes."""
    samples: NDArray[np.float32]
    """float32 (N,), mono, 16 kHz, nominally -1..1, finite."""
    path: Path
    """The recording as it was given: its sound, at its own rate, goes into the video."""
    reading: SoundReading | None = None
    """How its sound is read; None for one that was not decoded from a file."""
    warnings: tuple[str, ...] = ()
    """What of the file was left out or guessed."""
    timeline: SpokenTimeline | None = None
    """What is said when, for a synthesised voice; None for a recording."""

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
    reading: SoundReading | None = None
    """As of `Speech`."""
    warnings: tuple[str, ...] = ()
    """As of `Speech`; empty where they were said when the recording was inspected."""

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
    """A source image after every stage of an engine: all that driving and rendering need."""

    image_hash: str
    engine: str
    mode: PreprocessMode
    artefacts: Mapping[str, Artefact]
    """Stage name -> artefact."""
    face_index: int = 0
    """Which of the source image's faces it is."""

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


def width_cap(quality: Quality) -> float:
    """Largest width of a video, pixels: 16/9 of its largest height."""
    return HEIGHT_CAP[quality] * 16 / 9


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

    engine: str = field(default="", kw_only=True)
    """Its name; empty where an earlier version, which did not keep it, made the video."""
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
    words: tuple[TimedLabel, ...] = ()
    """The words that are spoken, for captions; empty where their times are not known."""

    @property
    def real_time_factor(self) -> float:
        """Seconds of video made per second of work: above 1 is faster than real time."""
        return self.video_seconds / self.total_seconds if self.total_seconds > 0 else float("inf")
