"""Small generators of recordings as people really send them. Sounds are (n, channels) in -1..1."""

from __future__ import annotations

import struct
import wave
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

Sound = NDArray[np.float64]

RATE = 16_000
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "speech.wav"
CODECS = {"mp3": "libmp3lame", "m4a": "aac", "mp4": "aac", "mov": "aac", "mkv": "aac"}
CODECS |= {"webm": "libopus", "ogg": "libopus", "flac": "flac"}


@lru_cache(maxsize=1)
def _example() -> Sound:
    with wave.open(str(EXAMPLE)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0


def voice(seconds: float, start: float = 0.0) -> Sound:
    """A part of the example, (n, 1)."""
    first = round(start * RATE)
    return _example()[first : first + round(seconds * RATE), None].copy()


def silence(seconds: float) -> Sound:
    """Digital silence, (n, 1)."""
    return np.zeros((round(seconds * RATE), 1))


def noise(seconds: float, dbfs: float, slope: float = 0.5, seed: int = 0) -> Sound:
    """Steady noise of a room, (n, 1): its power falls with frequency to the power of twice `slope`."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    spectrum /= (np.arange(len(spectrum)) + 20.0 * seconds) ** slope
    sound = np.fft.irfft(spectrum, count)
    return (sound / sound.std() * 10 ** (dbfs / 20))[:, None]


def with_pauses(said: Sound, seconds: float, count: int) -> tuple[Sound, list[tuple[float, float]]]:
    """`said` (n, 1) with pauses of digital silence at `count` quiet moments, and where they are, seconds."""
    power = np.convolve(np.square(said[:, 0]), np.ones(RATE // 50), "same")
    reach, ramp = RATE // 4, np.linspace(0.0, 1.0, RATE // 200)[:, None]
    cuts = [0]
    for number in range(1, count + 1):
        first = len(said) * number // (count + 1) - reach
        cuts.append(first + int(np.argmin(power[first : first + 2 * reach])))
    parts, spans, at = [], [], 0.0
    for first, last in zip(cuts, [*cuts[1:], len(said)], strict=True):
        part = said[first:last].copy()
        part[: len(ramp)] *= ramp
        part[-len(ramp) :] *= ramp[::-1]
        parts += [part, silence(seconds)]
        at += len(part) / RATE
        spans.append((at, at + seconds))
        at += seconds
    return np.concatenate(parts[:-1]), spans[:-1]


def breath(seconds: float, dbfs: float, seed: int = 0) -> Sound:
    """Air that is drawn in, (n, 1): noise with the resonances of an open throat, which swells and fades."""
    count = round(seconds * RATE)
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    shape = 0.05 + sum(
        g * np.exp(-(((hertz - f) / 600) ** 2)) for f, g in ((700, 0.4), (1600, 1), (2800, 0.6))
    )
    sound = np.fft.irfft(np.fft.rfft(np.random.default_rng(seed).standard_normal(count)) * shape, count)
    sound *= np.hanning(count) ** 0.7
    return (sound / np.sqrt(np.mean(sound**2)) * 10 ** (dbfs / 20))[:, None]


def tones(seconds: float, *hertz: float, level: float = 0.2) -> Sound:
    """A held chord of pure tones, (n, 1)."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = sum(np.sin(2 * np.pi * f * t) for f in hertz)
    return (level * np.asarray(sound) / len(hertz))[:, None]


def tune(seconds: float, *, notes: int = 2, partials: int = 6, seed: int = 0) -> Sound:
    """Struck strings: so many notes at a time that fade, each of 0.4 s, (n, 1)."""
    rng = np.random.default_rng(seed)
    scale = 196.0 * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14]) / 12)
    t = np.arange(round(0.4 * RATE)) / RATE
    beats = []
    for _ in range(round(seconds / 0.4 + 1)):
        chord = rng.choice(scale, notes, replace=False)
        beat = sum(
            np.sin(2 * np.pi * f * k * t) * np.exp(-t * (2 + k)) / k
            for f in chord
            for k in range(1, partials + 1)
        )
        beats.append(beat * np.minimum(1.0, t / 0.01) * np.minimum(1.0, (0.4 - t) / 0.02))
    sound = np.concatenate(beats)[: round(seconds * RATE)]
    return (0.3 * sound / np.abs(sound).max())[:, None]


def wav_bytes(sound: Sound, rate: int = RATE) -> bytes:
    """A WAV file of 16 bits."""
    data = np.clip(np.round(sound * 32768), -32768, 32767).astype("<i2").tobytes()
    channels = sound.shape[1]
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, channels, rate, rate * 2 * channels, 2 * channels, 16)  # fmt: skip # noqa: E501
    return head + struct.pack("<4sI", b"data", len(data)) + data


def write_wav(path: Path, sound: Sound, rate: int = RATE) -> Path:
    """`sound` as a WAV file of 16 bits."""
    path.write_bytes(wav_bytes(sound, rate))
    return path


def write_float_wav(path: Path, sound: Sound, scale: float) -> Path:
    """A WAV file of floats that are `scale` at full scale."""
    data = (sound * scale).astype("<f4").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 3, 1, RATE, RATE * 4, 4, 32
    )
    path.write_bytes(head + struct.pack("<4sI", b"data", len(data)) + data)
    return path


def encode(
    path: Path,
    *tracks: tuple[str, Sound],
    gap: tuple[float, float] | None = None,
    rate: int = RATE,
    bit_rate: int = 96_000,
) -> Path:
    """Sounds as the tracks of a file, each with its layout; the codec follows the name of the file.

    `gap`: from the first number of seconds on, packets are later by the second one.
    """
    out_rate = 48_000 if path.suffix in {".webm", ".ogg"} else rate
    paging = {"page_duration": "20000"} if path.suffix == ".ogg" else {}  # as live recorders write it
    with av.open(str(path), "w", options=paging) as file:
        streams = []
        for layout, sound in tracks:
            stream = file.add_stream(CODECS[path.suffix[1:]], rate=out_rate, layout=layout)
            if path.suffix != ".flac":
                stream.bit_rate = bit_rate
            streams.append(
                (stream, layout, soxr.resample(sound, RATE, out_rate) if out_rate != RATE else sound)
            )
        for packet in sorted(_packets(streams, out_rate), key=lambda p: p.pts * p.time_base):
            if gap and packet.pts * packet.time_base >= gap[0]:
                packet.pts += round(Fraction(gap[1]) / packet.time_base)
                packet.dts = packet.pts
            file.mux(packet)
    return path


def _packets(streams: Sequence[tuple[object, str, Sound]], rate: int) -> list[av.Packet]:
    packets: list[av.Packet] = []
    for stream, layout, sound in streams:
        data = np.ascontiguousarray(sound.reshape(1, -1), np.float32)
        resampler = av.AudioResampler(
            format=stream.format.name,  # type: ignore[attr-defined]
            layout=layout,
            rate=rate,
            frame_size=getattr(stream.codec_context, "frame_size", 0) or 1024,  # type: ignore[attr-defined]
        )
        frame = av.AudioFrame.from_ndarray(data, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            packets += stream.encode(piece)  # type: ignore[attr-defined]
        packets += stream.encode(None)  # type: ignore[attr-defined]
    return [packet for packet in packets if packet.pts is not None]
