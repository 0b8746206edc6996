"""Decode the audio of any audio or video file that FFmpeg reads.

`decode_speech` gives the mono 16 kHz signal that drives the lips. `stream_sound` gives the same audio at its
own rate for the video, with the same track, pauses, gain and mix. Sample 0 of both is the same instant: the
first sample that the codec outputs after its priming samples are dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, SoundReading, Speech
from sadtalker_service.errors import AudioTooLarge, EmptyAudio, UnreadableAudio
from sadtalker_service.media.mixing import Mixer
from sadtalker_service.media.sound_block import Block
from sadtalker_service.media.sound_file import SoundFile
from sadtalker_service.media.sound_survey import survey

Float32 = NDArray[np.float32]

SHORTEST_SECONDS = 0.04
"""One video frame at 25 fps. Anything shorter is rejected."""

AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Rates that every AAC encoder accepts, Hz. Other rates are resampled to the next higher one."""

_OFFSET_HZ = 20.0
"""Anything slower than this is an offset of the microphone, not sound."""
_FILTERED = 1 << 20
"""Number of samples that are filtered at a time."""


@dataclass(frozen=True, eq=False)
class SoundStream:
    """Audio that can be read once, in pieces."""

    rate: int
    """Samples per second."""
    channels: int
    """1 or 2."""
    chunks: Iterator[Float32]
    """float32 (n, channels), n >= 1, within -1..1 and finite. Never raises. Damaged parts are left out."""


def decode_speech(
    path: Path,
    *,
    max_bytes: int,
    max_seconds: float,
    audio_track: int | None = None,
    audio_hash: str | None = None,
) -> Speech:
    """Decode the audio of an audio or video file to mono 16 kHz.

    `audio_track` is the number of an audio track, starting at 1. None selects the main track, or another one
    if only that has a voice. Any offset is removed, non-finite samples become 0, and a signal beyond full
    scale is scaled down. Memory is bounded by `max_seconds`, which is enforced while decoding. If most of a
    damaged file decodes, that part is kept and `Speech.warnings` describes the rest. `audio_hash` is the
    sha256 of the file if it is known, which saves computing it.

    Raises:
        UnreadableAudio: the file is missing, has no audio, or is too damaged.
        AudioTooLarge: more bytes or seconds than allowed.
        EmptyAudio: shorter than `SHORTEST_SECONDS`.
        InvalidOption: the track does not exist.
    """
    _check_size(path, max_bytes)
    digest = audio_hash or _digest(path)
    first_track = _FirstTrackSamples()
    found = survey(path, max_seconds=max_seconds, audio_track=audio_track, on_block=first_track.take)
    if found.seconds < SHORTEST_SECONDS:
        raise EmptyAudio(
            "The driven audio has no sound, or is shorter than one video frame. Use a longer recording.",
            param="driven_audio",
        )
    samples = first_track.samples if first_track.reading == found.reading else _decoded(path, found.reading)
    if not len(samples):  # the file has changed since the survey
        raise EmptyAudio("The driven audio has no sound. Use a recording with a voice.", param="driven_audio")
    _remove_offset(samples)
    return Speech(digest, samples, path, found.reading, found.warnings)


class _FirstTrackSamples:
    """Samples of the first track, read with the settings that nearly all files need.

    If the survey finds other settings, the file is decoded again.
    """

    def __init__(self) -> None:
        self.reading: SoundReading | None = None
        self._mixer: Mixer | None = None
        self._bytes = bytearray()  # grows in place, as a list of pieces would need twice the memory

    def take(self, track: int, block: Block) -> None:
        """Add a frame of a track."""
        if self._mixer is None or self.reading is None:
            self.reading = SoundReading(track)
            self._mixer = Mixer(SPEECH_RATE, 1, self.reading)
        if track == self.reading.track:
            self._bytes += self._mixer.push(block).tobytes()

    @property
    def samples(self) -> Float32:
        """float32 (N,), all samples received. Call it once, at the end."""
        if self._mixer:
            self._bytes += self._mixer.finish().tobytes()
        return np.frombuffer(self._bytes, np.float32)


def _decoded(path: Path, reading: SoundReading) -> Float32:
    decoded, mixer = bytearray(), Mixer(SPEECH_RATE, 1, reading)
    for _, block in SoundFile(path).blocks([reading.track]):
        decoded += mixer.push(block).tobytes()
    decoded += mixer.finish().tobytes()
    return np.frombuffer(decoded, np.float32)


def stream_sound(
    path: Path, reading: SoundReading | None = None, *, rate: int | None = None, channels_max: int = 2
) -> SoundStream:
    """Stream the audio of a file for the video, mono or stereo.

    It has its own rate, the next one in `AAC_RATES`, or `rate` if given.

    `reading` is the one of the speech that was decoded from the file. Without it the file is surveyed first.
    More than two channels are mixed down. Sample 0 is sample 0 of `decode_speech`. Memory is bounded by one
    decoder frame. The file stays open until all chunks are read or the iterator is closed.

    Raises:
        UnreadableAudio: the file is missing or has no audio.
        EmptyAudio: the audio has no samples.
    """
    reading = reading or survey(path).reading
    blocks = (block for _, block in SoundFile(path).blocks([reading.track]))
    first = next(blocks, None)
    if first is None:
        raise EmptyAudio("The driven audio has no sound. Use a recording with a voice.", param="driven_audio")
    out_rate = rate or next((r for r in AAC_RATES if r >= first.rate), AAC_RATES[-1])
    channels = 1 if len(first.names) == 1 else min(2, channels_max)
    return SoundStream(out_rate, channels, _mixed(first, blocks, Mixer(out_rate, channels, reading)))


def audio_media_type(path: Path) -> str:
    """Media type of a file with audio, from its content: `audio/mpeg`, or `video/mp4` if it has video.

    Raises `UnreadableAudio`.
    """
    return SoundFile(path).media_type()


def _mixed(first: Block, rest: Generator[Block], mixer: Mixer) -> Iterator[Float32]:
    with closing(rest):
        pieces = (mixer.push(block) for block in chain([first], rest))
        # The filter's tail exists only after the last block, so the second part is lazy.
        for piece in chain(pieces, (mixer.finish() for _ in range(1))):
            if len(piece):
                yield piece


def _remove_offset(samples: Float32) -> None:
    """Remove the offset in place with a first-order high-pass.

    It only depends on the last hundredths of a second. Subtracting the mean of the whole recording would add
    an offset wherever digital silence was joined to a voice.
    """
    from scipy.signal import lfilter  # noqa: PLC0415  slow import, unneeded for inspection

    keep = 1.0 - 2.0 * np.pi * _OFFSET_HZ / SPEECH_RATE
    state = np.array([-samples[0]], np.float64)
    for start in range(0, len(samples), _FILTERED):
        piece = samples[start : start + _FILTERED]
        filtered, state = lfilter([1.0, -1.0], [1.0, -keep], piece.astype(np.float64), zi=state)
        filtered[np.abs(filtered) < 1e-9] = 0.0  # the filter's decay is not sound
        np.clip(filtered, -1.0, 1.0, out=piece)


def _digest(path: Path) -> str:
    """sha256 of the file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableAudio(f"{path} cannot be read: {error.strerror}.", param="driven_audio") from error


def _check_size(path: Path, max_bytes: int) -> None:
    """Check the size of the file.

    Raises `UnreadableAudio` if it is not a file, `AudioTooLarge`, `EmptyAudio`.
    """
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise UnreadableAudio(f"{path} cannot be read: {error.strerror}.", param="driven_audio") from error
    if size is None:
        raise UnreadableAudio(f"There is no driven audio at {path}.", param="driven_audio")
    if size > max_bytes:
        raise AudioTooLarge(
            f"The driven audio has {size / 1e6:.3g} MB, but at most {max_bytes / 1e6:.3g} MB are allowed.",
            param="driven_audio",
        )
    if size == 0:
        raise EmptyAudio(f"{path.name} is empty.", param="driven_audio")
