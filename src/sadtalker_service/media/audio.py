"""Decode the audio of any audio or video file that FFmpeg reads.

`open_speech` gives the mono 16 kHz signal that drives the lips, piece by piece, and `decode_speech` all of
it. `stream_sound` gives the same audio at its own rate for the video, with the same track, pauses, gain and
mix. Sample 0 of both is the same instant: the first sample that the codec outputs after its priming samples
are dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, SoundReading, Speech, SpeechFile
from sadtalker_service.errors import AudioTooLarge, EmptyAudio, UnreadableAudio
from sadtalker_service.media.mixing import Mixer
from sadtalker_service.media.one_pole import one_pole
from sadtalker_service.media.sound_block import Block
from sadtalker_service.media.sound_file import SoundFile
from sadtalker_service.media.sound_survey import losses, refuse_longer, survey

Float32 = NDArray[np.float32]

SHORTEST_SECONDS = 0.04
"""One video frame at 25 fps. Anything shorter is rejected."""

AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Rates that every AAC encoder accepts, Hz. Other rates are resampled to the next higher one."""

_OFFSET_HZ = 20.0
"""Anything slower than this is an offset of the microphone, not sound."""


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
    """Decode the whole audio of a file to memory. Arguments and errors are those of `open_speech`."""
    file = open_speech(
        path, max_bytes=max_bytes, max_seconds=max_seconds, audio_track=audio_track, audio_hash=audio_hash
    )
    decoded = bytearray()  # grows in place, as a list of pieces would need twice the memory
    for piece in file.pieces():
        decoded += piece.tobytes()
    return Speech(file.audio_hash, np.frombuffer(decoded, np.float32), path, file.reading, file.warnings)


def open_speech(
    path: Path,
    *,
    max_bytes: int,
    max_seconds: float,
    audio_track: int | None = None,
    audio_hash: str | None = None,
    reading: SoundReading | None = None,
) -> SpeechFile:
    """Open the audio of an audio or video file, to be decoded to mono 16 kHz piece by piece.

    `audio_track` is the number of an audio track, starting at 1. None selects the main track, or another one
    if only that has a voice. Any offset is removed, non-finite samples become 0, and a signal beyond full
    scale is scaled down. `max_seconds` is enforced while decoding. If most of a damaged file decodes, that
    part is kept and the warnings describe the rest. `audio_hash` is the sha256 of the file, and `reading` how
    it was read before, if they are known, which saves finding out. Memory is bounded by one decoder frame.

    Raises:
        UnreadableAudio: the file is missing, has no audio, or is too damaged.
        AudioTooLarge: more bytes or seconds than allowed.
        EmptyAudio: shorter than `SHORTEST_SECONDS`.
        InvalidOption: the track does not exist.
    """
    _check_size(path, max_bytes)
    digest = audio_hash or _digest(path)
    notes: list[str] = []
    if reading is None:
        found = survey(path, max_seconds=max_seconds, audio_track=audio_track)
        reading = found.reading
        notes += found.warnings
    expected = SoundFile(path).announced_seconds(reading.track)
    decode = partial(_decoded, path, reading, max_seconds, notes)
    return SpeechFile(digest, path, reading, decode, expected, notes)


def _decoded(path: Path, reading: SoundReading, max_seconds: float, notes: list[str]) -> Iterator[Float32]:
    """float32 (n,) pieces of the speech. Adds to `notes` what was left out."""
    file, mixer, offset = SoundFile(path), Mixer(SPEECH_RATE, 1, reading), OffsetFilter()
    with closing(file.blocks([reading.track])) as blocks:
        for _, block in blocks:
            refuse_longer(file.log.tracks[reading.track].seconds, max_seconds)
            piece = mixer.push(block)[:, 0]
            if len(piece):
                yield offset.push(piece)
    file.refuse_mostly_damaged()
    log = file.log.tracks[reading.track]
    if log.seconds < SHORTEST_SECONDS:
        raise EmptyAudio(
            "The driven audio has no sound, or is shorter than one video frame. Use a longer recording.",
            param="driven_audio",
        )
    tail = mixer.finish()[:, 0]
    if len(tail):
        yield offset.push(tail)
    notes += losses(file.log, log)


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


class OffsetFilter:
    """Removes the offset with a first-order high-pass, piece by piece.

    It only depends on the last hundredths of a second. Subtracting the mean of the whole recording would add
    an offset wherever digital silence was joined to a voice.
    """

    _KEEP = 1.0 - 2.0 * np.pi * _OFFSET_HZ / SPEECH_RATE

    def __init__(self) -> None:
        self._state = np.zeros(1)
        self._before: float | None = None

    def push(self, samples: Float32) -> Float32:
        """float32 (n,) -> float32 (n,), within -1..1."""
        if not len(samples):
            return samples
        before = samples[0] if self._before is None else self._before
        steps = np.diff(samples.astype(np.float64), prepend=float(before))
        self._before = float(samples[-1])
        filtered = one_pole(steps[:, None], self._KEEP, self._state)[:, 0]
        filtered[np.abs(filtered) < 1e-9] = 0.0  # the filter's decay is not sound
        return np.clip(filtered, -1.0, 1.0).astype(np.float32)


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
