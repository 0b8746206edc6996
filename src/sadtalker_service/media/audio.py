"""Sound out of any audio or video file that FFmpeg reads.

`decode_speech` gives the mono 16 kHz signal that lips are driven by, `stream_sound` the same sound at its own
rate for the video. Both read through one decoder loop, so sample 0 of one is at the same instant as sample 0
of the other: the first sample that the codec puts out, after its priming samples were dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.errors import AudioTooLarge, EmptyAudio, UnreadableAudio

Float32 = NDArray[np.float32]

SHORTEST_SECONDS = 0.04
"""One video frame at 25 fps: less than that is no recording."""

AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Rates that every AAC encoder takes, Hz; a sound at another rate is brought to the next higher one."""

_PLAUSIBLE_RATES = range(2_000, 768_001)
"""Anything else is a damaged header, Hz."""

_PLANES_READ = 7
"""Channels of a planar frame that PyAV's own reading is safe for: with more it runs past FFmpeg's list of
planes, into memory that is not there, and ends the process."""

_LARGEST_SAMPLE = 1e6
"""Float files may hold 16-bit integers as they are, but nothing above this: it is damage, and becomes 0."""

_FOREIGN_DEMUXERS = frozenset(
    {
        *("alias_pix", "concat", "dash", "hls", "image2", "image2pipe", "imf", "lavfi", "rtp", "rtsp", "sap"),
        *("sdp", "segment", "smoothstreaming", "tedcaptions", "webm_dash_manifest"),
    }
)
"""Formats whose files name other files or addresses to open: an upload could read what is not its own."""

_LEFT_RIGHT: dict[str, tuple[float, float]] = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "FC": (0.707, 0.707), "LFE": (0.0, 0.0), "BL": (0.707, 0.0),
    "BR": (0.0, 0.707), "FLC": (0.9, 0.4), "FRC": (0.4, 0.9), "SL": (0.707, 0.0), "SR": (0.0, 0.707),
    "DL": (1.0, 0.0), "DR": (0.0, 1.0), "LFE2": (0.0, 0.0),
}  # fmt: skip
"""Share of each channel in the left and right one (ITU-R BS.775: centre and surrounds at -3 dB, no LFE)."""

_USUAL_CHANNELS = {
    1: ("FC",),
    2: ("FL", "FR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
"""What files mean that give a number of channels and no names."""


_MEDIA_TYPES = {
    "aac": "aac", "avi": "x-msvideo", "flac": "flac", "matroska": "webm", "mp3": "mpeg", "mp4": "mp4",
    "mpegts": "mp2t", "ogg": "ogg", "wav": "wav",
}  # fmt: skip
"""FFmpeg's name of a format -> second half of the media type."""

_COVER = av.stream.Disposition.attached_pic
"""Marks the cover picture of a recording, which is no video."""


@dataclass(frozen=True, eq=False)
class SoundStream:
    """A sound to be read once, in pieces."""

    rate: int
    """Samples per second."""
    channels: int
    """1 or 2."""
    chunks: Iterator[Float32]
    """float32 (n, channels), n >= 1, within -1..1 and finite. Raises nothing: what is damaged is left out."""


@dataclass(frozen=True, eq=False)
class _Block:
    """What one decoder frame holds."""

    samples: Float32
    """float32 (n, channels), finite."""
    rate: int
    names: tuple[str, ...]
    """Channel names as FFmpeg has them, e.g. FL; NONE when the file does not say."""


def decode_speech(path: Path, *, max_bytes: int, max_seconds: float, audio_hash: str | None = None) -> Speech:
    """Decode the sound of an audio or video file to mono 16 kHz.

    The mean is removed, non-finite samples become 0 and a peak above 1 is scaled to 1. Memory is bounded by
    `max_seconds`, enforced while decoding. Of a damaged file, what decodes is kept if it is most of it.
    `audio_hash` is the sha256 of the file where that is known: it is then not computed.

    Raises:
        UnreadableAudio: missing, no sound in it, or too damaged.
        AudioTooLarge: more bytes or seconds than allowed.
        EmptyAudio: shorter than `SHORTEST_SECONDS`.
    """
    digest = _digest(path, max_bytes, audio_hash)
    sound = _SoundFile(path)
    resampler = _Resampler(SPEECH_RATE, 1)
    decoded = bytearray()  # grows in place: a list of pieces would need its memory twice to become one
    seconds = 0.0
    for block in sound.blocks():
        seconds += len(block.samples) / block.rate
        if seconds > max_seconds + SHORTEST_SECONDS:  # codecs pad the end
            raise AudioTooLarge(
                f"The recording is longer than {max_seconds:g} seconds; cut it into several.",
                param="driven_audio",
            )
        decoded += resampler.push(block).tobytes()
    decoded += resampler.finish().tobytes()
    sound.refuse_mostly_damaged()
    samples = np.frombuffer(decoded, np.float32)
    if len(samples) < SHORTEST_SECONDS * SPEECH_RATE:
        raise EmptyAudio("The recording holds no sound, or less than one video frame.", param="driven_audio")
    _level(samples)
    return Speech(audio_hash=digest, samples=samples, path=path)


def stream_sound(path: Path, *, rate: int | None = None, channels_max: int = 2) -> SoundStream:
    """The sound of a file for the video: at its rate (or the next of `AAC_RATES`, or `rate`), mono or stereo.

    More than two channels are mixed down. Sample 0 is sample 0 of `decode_speech`. Memory is bounded by one
    decoder frame. The file stays open until the chunks are read or the iterator is closed.

    Raises:
        UnreadableAudio: missing, or no sound in it.
        EmptyAudio: a sound without a sample.
    """
    sound = _SoundFile(path)
    blocks = sound.blocks()
    first = next(blocks, None)
    if first is None:
        sound.refuse_mostly_damaged()
        raise EmptyAudio("The recording holds no sound.", param="driven_audio")
    out_rate = rate or next((r for r in AAC_RATES if r >= first.rate), AAC_RATES[-1])
    channels = 1 if len(first.names) == 1 else min(2, channels_max)
    return SoundStream(out_rate, channels, _resampled(first, blocks, _Resampler(out_rate, channels)))


def audio_media_type(path: Path) -> str:
    """Media type of a file with sound, by what it holds: `audio/mpeg`, or `video/mp4` where pictures go with
    it. Raises `UnreadableAudio`."""
    return _SoundFile(path).media_type()


def _resampled(first: _Block, rest: Generator[_Block], resampler: _Resampler) -> Iterator[Float32]:
    with closing(rest):
        pieces = (resampler.push(block) for block in chain([first], rest))
        # the filter's tail must be asked for after the last block, hence the second, lazy part
        for piece in chain(pieces, (resampler.finish() for _ in range(1))):
            if len(piece):
                yield np.clip(piece, -1.0, 1.0)


def _level(samples: Float32) -> None:
    """Take away the mean and bring a peak above 1 down to 1, in place."""
    samples -= np.mean(samples, dtype=np.float64).astype(np.float32)
    peak = max(float(samples.max()), -float(samples.min()))
    if peak > 1.0:
        samples /= peak


def _digest(path: Path, max_bytes: int, known: str | None) -> str:
    """sha256 of the file, after its size was found to be within the limit."""
    try:
        if not path.is_file():
            raise UnreadableAudio(f"There is no recording at {path}.", param="driven_audio")
        size = path.stat().st_size
        if size > max_bytes:
            raise AudioTooLarge(
                f"The recording has {size / 1e6:.3g} MB; at most {max_bytes / 1e6:.3g} MB are allowed.",
                param="driven_audio",
            )
        if size == 0:
            raise EmptyAudio(f"{path.name} is empty.", param="driven_audio")
        if known is not None:
            return known
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableAudio(f"{path} cannot be read: {error.strerror}.", param="driven_audio") from error


class _SoundFile:
    """The first good sound stream of a file, decoded one frame at a time; counts what would not decode."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._good = 0
        self._bad = 0

    def blocks(self) -> Generator[_Block]:
        """Decoded frames in order; packets that do not decode are left out and counted.

        Raises:
            UnreadableAudio: the file is no media file, or holds no sound stream with a decoder.
        """
        with self._open() as container:
            stream = container.streams.best("audio")
            if stream is None or getattr(stream, "codec_context", None) is None:
                raise UnreadableAudio(f"{self._path.name} has no sound in it.", param="driven_audio")
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)  # after an error of its own it has no more
                    if packet is None:
                        break
                    blocks = [_block(frame) for frame in packet.decode()]
                except av.error.EOFError:
                    break
                except (av.error.FFmpegError, ValueError):
                    self._bad += 1
                    continue
                good = [block for block in blocks if block is not None]
                self._good += len(good)
                self._bad += len(blocks) - len(good)
                yield from good

    def refuse_mostly_damaged(self) -> None:
        """Raise UnreadableAudio if more frames failed than decoded."""
        if self._bad > self._good:
            raise UnreadableAudio(
                f"{self._path.name} is damaged: {self._bad} of {self._bad + self._good} parts do not decode. "
                "Save it again, for instance as WAV.",
                param="driven_audio",
            )

    def media_type(self) -> str:
        """See `audio_media_type`."""
        with self._open() as container:
            names = container.format.name.split(",")
            moving = any(s.frames != 1 and not s.disposition & _COVER for s in container.streams.video)
        kind = next((_MEDIA_TYPES[name] for name in names if name in _MEDIA_TYPES), f"x-{names[0]}")
        return f"{'video' if moving else 'audio'}/{kind}"

    def _open(self) -> Any:
        options = {"format_whitelist": own_demuxers(), "protocol_whitelist": "file"}
        try:
            # the file: prefix keeps names such as "concat:a|b" or "http:x" from being taken for an address
            return av.open(f"file:{self._path}", mode="r", options=options, metadata_errors="ignore")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise UnreadableAudio(
                f"{self._path.name} is no audio or video file that FFmpeg reads; WAV, MP3 and MP4 are good.",
                param="driven_audio",
            ) from error


@lru_cache(maxsize=1)
def own_demuxers() -> str:
    """FFmpeg's list of the formats that read nothing but their own file."""
    return ",".join(sorted(av.formats_available - _FOREIGN_DEMUXERS))


def _block(frame: av.AudioFrame) -> _Block | None:
    """Samples of a frame as float32 (n, channels), or None if its header cannot be true.

    Raises:
        av.error.FFmpegError: a layout that FFmpeg cannot convert.
    """
    layout: Any = frame.layout
    names = tuple(channel.name for channel in layout.channels)
    if frame.rate not in _PLAUSIBLE_RATES or not names or frame.samples == 0:
        return None
    if frame.format.is_planar and len(names) > _PLANES_READ:
        frame = _interleaved(frame)
    raw = frame.to_ndarray()
    samples = _as_float(raw.T if frame.format.is_planar else raw.reshape(-1, len(names)))
    samples[~(np.abs(samples) <= _LARGEST_SAMPLE)] = 0.0
    return _Block(samples, frame.rate, names)


def _interleaved(frame: av.AudioFrame) -> av.AudioFrame:
    """The same samples in one plane.

    Raises:
        av.error.FFmpegError: a layout that FFmpeg cannot convert.
    """
    packed = av.AudioResampler(format=frame.format.packed, layout=frame.layout, rate=frame.rate)
    (same,) = packed.resample(frame)
    return same


def _as_float(raw: NDArray[Any]) -> Float32:
    """Full scale to -1..1; always a copy."""
    if raw.dtype == np.uint8:
        return (raw.astype(np.float32) - 128.0) / 128.0
    if np.issubdtype(raw.dtype, np.integer):
        return (raw / -float(np.iinfo(raw.dtype).min)).astype(np.float32)
    with np.errstate(over="ignore"):  # doubles beyond float32 become infinite, and 0 after that
        return raw.astype(np.float32)


@lru_cache(maxsize=64)
def _mixing(names: tuple[str, ...], channels: int) -> Float32:
    """float32 (len(names), channels): how the channels of a file are mixed to one or two."""
    if set(names) == {"NONE"}:
        names = _USUAL_CHANNELS.get(len(names), names)
    weights = np.array([_LEFT_RIGHT.get(name, (0.5, 0.5)) for name in names], np.float32)
    if channels == 1:
        weights = weights.mean(axis=1, keepdims=True)
    loudest = weights.sum(axis=0).max()
    return weights / loudest if loudest > 0 else np.full_like(weights, 1.0 / len(names))


class _Resampler:
    """Blocks of any rate and layout -> one rate, one or two channels, without delay (soxr, high quality)."""

    def __init__(self, rate: int, channels: int) -> None:
        self._rate = rate
        self._channels = channels
        self._from = rate
        self._stream: Any = None

    def push(self, block: _Block) -> Float32:
        """float32 (m, channels); m may be 0 while the filter fills."""
        before = np.empty((0, self._channels), np.float32)
        if block.rate != self._from:  # some broadcasts change their rate on the way
            before = self.finish()
            self._from = block.rate
            self._stream = None
            if block.rate != self._rate:
                self._stream = soxr.ResampleStream(block.rate, self._rate, self._channels, dtype="float32")
        mixed = block.samples @ _mixing(block.names, self._channels)
        if self._stream is not None:
            mixed = self._stream.resample_chunk(mixed).reshape(-1, self._channels)
        return np.concatenate([before, mixed]) if len(before) else mixed

    def finish(self) -> Float32:
        """What is still in the filter."""
        empty = np.empty((0, self._channels), np.float32)
        if self._stream is None:
            return empty
        tail: Float32 = self._stream.resample_chunk(empty, last=True).reshape(-1, self._channels)
        return tail
