"""Write speech as WAV, MP3, Opus, AAC, FLAC or bare samples, piece by piece."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray


@dataclass(frozen=True)
class SoundFormat:
    """A file format of sound."""

    name: str
    media_type: str
    container: str = ""
    """FFmpeg's name; empty for what is written here."""
    codec: str = ""
    bit_rate: int = 0
    rate: int = 0
    """Samples per second that the codec needs; 0 for those of the source."""


SOUND_FORMATS: Mapping[str, SoundFormat] = MappingProxyType(
    {
        "wav": SoundFormat("wav", "audio/wav"),
        "mp3": SoundFormat("mp3", "audio/mpeg", "mp3", "libmp3lame", 64_000),
        "opus": SoundFormat("opus", "audio/ogg", "ogg", "libopus", 32_000, 48_000),
        "aac": SoundFormat("aac", "audio/aac", "adts", "aac", 64_000),
        "flac": SoundFormat("flac", "audio/flac", "flac", "flac"),
        "pcm": SoundFormat("pcm", "audio/pcm"),
    }
)
_UNKNOWN_LENGTH = 0xFFFF_FFFF


def write_sound(
    pieces: Iterable[NDArray[np.float32]], rate: int, sound: SoundFormat, length: int | None = None
) -> Iterator[bytes]:
    """Encode mono samples while they come.

    Args:
        pieces: float32 (n,) each, -1..1.
        rate: samples per second.
        sound: the format.
        length: samples in all, if that is known: the header of a WAV file has it.
    """
    if sound.container:
        yield from _encoded(pieces, rate, sound)
        return
    if sound.name == "wav":
        yield wav_header(rate, length)
    for piece in pieces:
        yield as_pcm(piece).tobytes()


def as_pcm(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """int16 of -1..1."""
    return np.asarray(np.rint(np.clip(samples, -1.0, 1.0) * 32767.0), np.int16)


def wav_header(rate: int, length: int | None) -> bytes:
    """Of a mono file with 16 bits. Without a length it says the largest, as streams do."""
    size = _UNKNOWN_LENGTH - 36 if length is None else 2 * length
    form = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16
    )
    return form + struct.pack("<4sI", b"data", size)


class _Pipe(io.RawIOBase):
    """What was written since it was last taken. Nobody can go back in it."""

    def __init__(self) -> None:
        super().__init__()
        self._data = bytearray()

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """False."""
        return False

    def write(self, data: object, /) -> int:
        """Append."""
        piece = bytes(memoryview(data))  # type: ignore[arg-type]  # PyAV gives bytes
        self._data += piece
        return len(piece)

    def take(self) -> bytes:
        """What is there, once."""
        taken = bytes(self._data)
        self._data.clear()
        return taken


def _encoded(pieces: Iterable[NDArray[np.float32]], rate: int, sound: SoundFormat) -> Iterator[bytes]:
    pipe = _Pipe()
    with av.open(pipe, "w", format=sound.container) as container:
        stream = container.add_stream(sound.codec, rate=sound.rate or rate)
        if not isinstance(stream, AudioStream):
            raise TypeError(f"{sound.codec} is no codec of sound")
        stream.layout = "mono"
        if sound.bit_rate:
            stream.bit_rate = sound.bit_rate
        at = 0
        for piece in pieces:
            if not len(piece):
                continue
            frame = AudioFrame.from_ndarray(as_pcm(piece)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, at
            at += len(piece)
            container.mux(stream.encode(frame))
            if taken := pipe.take():
                yield taken
        container.mux(stream.encode(None))
    yield pipe.take()
