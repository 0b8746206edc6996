"""Decoded inputs of a video: source image, driven audio, and the driving values of some options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain.spoken import SpokenTimeline
from sadtalker_service.domain.values import SPEECH_RATE, Uint8Image


@dataclass(frozen=True, eq=False)
class SourceImage:
    """A decoded source image, turned upright according to its EXIF orientation."""

    image_hash: str
    """SHA-256 of the uploaded bytes, 64 hexadecimal digits."""
    pixels: Uint8Image
    """uint8 (H, W, 3) RGB."""
    face_index: int = 0
    """Which of its faces speaks: 0 is the largest, 1 the next."""
    warnings: tuple[str, ...] = ()
    """What was guessed or left out while decoding."""

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
    """A source image that is read and decoded on first use. For a known avatar that never happens."""

    image_hash: str
    """SHA-256 of the uploaded bytes."""
    load: Callable[[], SourceImage]

    @cached_property
    def opened(self) -> SourceImage:
        """The decoded source image. Raises what `load` raises."""
        return self.load()


@dataclass(frozen=True)
class SoundReading:
    """How the audio of a file is read, so that the lips and the video's soundtrack use the same audio."""

    track: int = 0
    """Number of the audio track, from 0."""
    gain: float = 1.0
    """Factor applied to the samples; below 1 if they exceed full scale."""
    opposed: bool = False
    """Whether left and right hold the same voice with opposite signs. Then the right channel is inverted."""


@dataclass(frozen=True, eq=False)
class Speech:
    """A decoded driven audio."""

    audio_hash: str
    """SHA-256 of the uploaded bytes."""
    samples: NDArray[np.float32]
    """float32 (N,), mono, 16 kHz, nominally -1..1, finite."""
    path: Path
    """The original file. Its audio goes into the video at its own sample rate."""
    reading: SoundReading | None = None
    """How its audio is read; None if it was not decoded from a file."""
    warnings: tuple[str, ...] = ()
    """What of the file was left out or guessed."""
    timeline: SpokenTimeline | None = None
    """Phonemes and words with their times, for a synthesised voice; None for a recording."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / SPEECH_RATE

    @property
    def opened(self) -> Speech:
        """Itself."""
        return self

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """The samples, in one piece."""
        yield self.samples

    def whole(self) -> Speech:
        """Itself."""
        return self


@dataclass(frozen=True, eq=False)
class SpeechFile:
    """Driven audio that is decoded piece by piece, each time its pieces are requested."""

    audio_hash: str
    """As of `Speech`."""
    path: Path
    """As of `Speech`."""
    reading: SoundReading
    """As of `Speech`."""
    decode: Callable[[], Iterator[NDArray[np.float32]]]
    """See `pieces`."""
    expected: float | None = None
    """Seconds according to the file. The decoded audio may differ."""
    notes: list[str] = field(default_factory=list)
    """Grows while pieces are taken."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out of the file or guessed. Complete when all pieces were taken."""
        return tuple(dict.fromkeys(self.notes))

    @cached_property
    def duration(self) -> float:
        """Seconds of the decoded audio. All of it is decoded to find out."""
        return sum(len(piece) for piece in self.decode()) / SPEECH_RATE

    @property
    def opened(self) -> SpeechFile:
        """Itself."""
        return self

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """float32 (n,), mono, 16 kHz, -1..1. Raises the errors of decoding, at the latest at the end."""
        return self.decode()

    def whole(self) -> Speech:
        """All of it in memory. Raises the errors of decoding."""
        samples = np.concatenate(list(self.decode()))
        return Speech(self.audio_hash, samples, self.path, self.reading, self.warnings)


@dataclass(frozen=True, eq=False)
class LazySpeech:
    """Driven audio that is decoded when its samples are first used. Known driven audio never is."""

    audio_hash: str
    """SHA-256 of the uploaded bytes."""
    duration: float
    """Seconds, exactly as of the decoded samples."""
    path: Path
    """As in `Speech`."""
    load: Callable[[], Speech | SpeechFile]
    reading: SoundReading | None = None
    """As in `Speech`."""
    warnings: tuple[str, ...] = ()
    """As in `Speech`; empty if they were already reported when the file was inspected."""

    @cached_property
    def opened(self) -> Speech | SpeechFile:
        """The opened driven audio. Raises what `load` raises."""
        return self.load()

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """As in `SpeechFile`. Raises the errors of `load` with the first one."""
        yield from self.opened.pieces()


DrivenAudio = Speech | SpeechFile | LazySpeech
"""Driven audio, however it is kept."""


@dataclass(frozen=True)
class Track:
    """A piecewise linear head angle over the video, like SadTalker's `input_yaw`. In degrees, evenly spaced
    from the first frame to the last."""

    degrees: tuple[float, ...]


@dataclass(frozen=True)
class GestureCue:
    """A gesture that starts at a given time, written `nod_yes@1.5`."""

    name: str
    at: float
    """Seconds from the start of the video."""
