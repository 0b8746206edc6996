"""What people really send as recordings, and what a mouth does with it.

`cases(folder)` makes every recording in a folder, decodes it, has it heard and says what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from tests.cases.case import Case
from tests.cases.recordings import (
    RATE,
    Sound,
    encode,
    noise,
    silence,
    tones,
    tune,
    voice,
    wav_bytes,
    write_float_wav,
    write_wav,
)

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.media.audio import decode_speech, stream_sound
from sadtalker_service.speech import recognize_speech
from sadtalker_service.speech.visemes import OPENING

SHUT = 1.0
"""Largest opening of a mouth that counts as shut, mm."""
OPEN = 4.0
"""Least opening that a voice must reach, mm."""


@dataclass(frozen=True, eq=False)
class Heard:
    """A recording, and what the mouth does."""

    speech: Speech
    opening: NDArray[np.float32]
    """mm, 100 ticks a second."""

    def most(self, start: float, end: float) -> float:
        """Largest opening between two times, mm."""
        return float(self.opening[round(start * 100) : round(end * 100)].max())

    @property
    def warnings(self) -> str:
        """All of them."""
        return " ".join(self.speech.warnings)

    @property
    def level(self) -> float:
        """Of the whole recording, dBFS."""
        return level(self.speech.samples)


def decoded(path: Path, audio_track: int | None = None) -> Speech:
    """The speech of a file."""
    return decode_speech(path, max_bytes=10**8, max_seconds=600, audio_track=audio_track)


def heard(path: Path, audio_track: int | None = None) -> Heard:
    """A file and its lips."""
    speech = decoded(path, audio_track)
    return Heard(speech, recognize_speech(speech).articulators[:, OPENING])


def level(samples: NDArray[np.floating]) -> float:
    """Root mean square, dBFS."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-12))


def alike(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Correlation of two curves over the length of the shorter one."""
    size = min(len(a), len(b))
    return float(np.corrcoef(a[:size], b[:size])[0, 1])


@lru_cache(maxsize=1)
def _plain(folder: Path) -> Heard:
    """Three seconds of the voice, as they are."""
    return heard(write_wav(folder / "plain.wav", voice(3)))


def cases(folder: Path) -> Iterator[Case]:
    """Every kind of recording that failed once; files are written to `folder`."""
    for group in (_silences, _noises, _opposed, _tracks, _gaps, _joined, _scales, _music):
        yield from group(folder)


def shut(name: str, heard: Heard, *spans: tuple[float, float]) -> Case:
    """The mouth is shut in `spans`, and opens elsewhere."""
    rest = max(heard.most(*span) for span in spans)
    speaks = float(heard.opening.max())
    where = ", ".join(f"{a:g}-{b:g}" for a, b in spans)
    return Case(
        name,
        f"largest opening in {where} s; in all",
        f"< {SHUT:g} mm; > {OPEN:g} mm",
        f"{rest:.1f} mm; {speaks:.1f} mm",
        rest < SHUT and speaks > OPEN,
    )


def _silences(folder: Path) -> Iterator[Case]:
    biased = voice(2) + 0.003
    path = write_wav(folder / "offset.wav", np.concatenate([silence(3), biased]))
    yield shut("digital silence before a voice with an offset", heard(path), (0.3, 2.7))
    path = write_wav(folder / "pause.wav", np.concatenate([biased, silence(3), biased]))
    yield shut("digital silence between two sentences", heard(path), (3.0, 4.7))
    path = write_wav(folder / "long.wav", np.concatenate([silence(45), voice(1.5), silence(3)]))
    yield shut("one sentence in 50 s of silence", heard(path), (0.0, 44.7), (47.6, 49.4))


def _noises(folder: Path) -> Iterator[Case]:
    said = np.concatenate([silence(2), voice(2), silence(3), voice(2, 5), silence(2)])
    for dbfs, slope in ((-40, 0.0), (-45, 0.5), (-50, 1.0)):
        path = write_wav(folder / f"room{dbfs}.wav", said + noise(11, dbfs, slope))
        yield shut(f"room noise at {dbfs} dBFS", heard(path), (0.0, 1.7), (5.0, 6.7), (10.0, 11.0))


def _opposed(folder: Path) -> Iterator[Case]:
    said = voice(3)
    pair = np.concatenate([said, -said], axis=1)
    hum = tones(3, 100.0, level=0.05)
    kinds = {"antiphase": (pair, ("flac", "m4a")), "antiphase, hum in phase": (pair + hum, ("flac", "mp3"))}
    for name, (sound, endings) in kinds.items():
        for kind in endings:
            seen = heard(encode(folder / f"opposed.{kind}", ("stereo", sound)))
            one = heard(encode(folder / f"one.{kind}", ("mono", said)))
            r = alike(seen.opening, one.opening)
            yield Case(
                f"{name}, {kind}",
                "correlation of the lips with those for one channel; warning",
                "> 0.8; yes",
                f"{r:.2f}; {'yes' if 'opposite signs' in seen.warnings else 'no'}",
                r > 0.8 and "opposite signs" in seen.warnings,
            )


def _tracks(folder: Path) -> Iterator[Case]:
    said = voice(3)
    others = {"silent": silence(3), "a chord": tones(3, 220, 277, 330, level=0.1)}
    for (name, other), kind in zip(others.items(), ("mp4", "mkv"), strict=True):
        stereo = np.repeat(other, 2, axis=1)
        seen = heard(encode(folder / f"tracks.{kind}", ("stereo", stereo), ("mono", said)))
        r = alike(seen.opening, _plain(folder).opening)
        right = r > 0.8 and "Track 2 was used" in seen.warnings
        yield Case(
            f"first track {name}, {kind}",
            "correlation of the lips with those for the voice; warning",
            "> 0.8; track 2",
            f"{r:.2f}; {'track 2' if 'Track 2' in seen.warnings else 'none'}",
            right,
        )


def _gaps(folder: Path) -> Iterator[Case]:
    said = voice(3)
    for kind in ("webm", "ogg", "m4a", "mkv"):
        path = encode(folder / f"gap.{kind}", ("mono", said), gap=(1.5, 3.0))
        seen = heard(path)
        rest, sound = seen.most(2.6, 4.2), soundtrack(path, seen.speech)
        right = abs(seen.speech.duration - 6.0) < 0.06 and rest < SHUT and "3.00 s" in seen.warnings
        yield Case(
            f"pause of 3 s without packets, {kind}",
            "length; opening in the pause; soundtrack like the speech; warning",
            f"6.00 s; < {SHUT:g} mm; > 0.95; 3.00 s",
            f"{seen.speech.duration:.2f} s; {rest:.1f} mm; {sound:.2f}; {'yes' if seen.warnings else 'no'}",
            right and sound > 0.95,
        )


def _joined(folder: Path) -> Iterator[Case]:
    said = voice(3)
    pieces = [wav_bytes(said[i * RATE : (i + 1) * RATE]) for i in range(3)]
    files = {
        "three WAV files in one": (b"".join(pieces), 3.0, "3 recordings"),
        "a WAV header of the first piece only": (pieces[0] + pieces[1][44:] + pieces[2][44:], 3.0, "2.00 s"),
        "a WAV file cut in the middle": (wav_bytes(said)[: 44 + 3 * RATE], 1.5, "1.50 s that it announces"),
    }
    chained = b"".join(
        encode(folder / f"{r}.ogg", ("mono", voice(1.5, 1.5 * i))).read_bytes() for i, r in ((0, 1), (1, 2))
    )
    for name, (content, seconds, told) in (
        files.items() | {"chained Ogg": (chained, 3.0, "2 recordings")}.items()
    ):
        path = folder / "joined.bin"
        path.write_bytes(content)
        speech = decoded(path)
        right = abs(speech.duration - seconds) < 0.03 and told in " ".join(speech.warnings)
        yield Case(
            name,
            "seconds that are used; warning",
            f"{seconds:.2f} s; {told!r}",
            f"{speech.duration:.2f} s; {' '.join(speech.warnings) or 'none'}",
            right,
        )


def _scales(folder: Path) -> Iterator[Case]:
    said = voice(3)
    for bits in (16, 24, 32):
        path = write_float_wav(folder / f"float{bits}.wav", said, 2.0 ** (bits - 1))
        speech = decoded(path)
        off, sound = level(speech.samples) - _plain(folder).level, soundtrack(path, speech)
        yield Case(
            f"float WAV that holds {bits}-bit integers",
            "level against the source; soundtrack like the speech; warning",
            "< 0.5 dB; > 0.95; yes",
            f"{off:+.1f} dB; {sound:.2f}; {'yes' if speech.warnings else 'no'}",
            abs(off) < 0.5 and sound > 0.95 and f"{bits}-bit" in " ".join(speech.warnings),
        )
    for layout, channel in (("5.1", 2), ("quad", 0), ("7.1", 2), ("5.1", 4)):
        around = np.zeros((len(said), av.AudioLayout(layout).nb_channels))
        around[:, channel] = 0.5 * said[:, 0]
        path = encode(folder / "around.flac", (layout, around))
        off = level(decoded(path).samples) - level(own_downmix(path))
        yield Case(
            f"voice in channel {channel} of {layout}",
            "level against FFmpeg's own downmix",
            "< 1 dB",
            f"{off:+.1f} dB",
            abs(off) < 1.0,
        )


def _music(folder: Path) -> Iterator[Case]:
    sounds = {
        "a tone": tones(4, 440),
        "a held chord": tones(4, 220, 277, 330),
        "beeps": tones(4, 880) * (np.arange(4 * RATE) % (RATE // 2) < RATE // 5)[:, None],
        "a tune": tune(5, notes=1),
        "struck chords": tune(5, notes=3, seed=1),
    }
    for name, sound in sounds.items():
        most = float(heard(write_wav(folder / "music.wav", sound)).opening.max())
        yield Case(f"{name} alone", "largest opening", f"< {SHUT:g} mm", f"{most:.1f} mm", most < SHUT)
    sung = 0.5 * voice(4) + 0.5 * tune(4, notes=3) * 0.4
    quiet = 0.02 * voice(4)
    for name, sound in (("a voice over music", sung), ("a voice at -51 dBFS", quiet)):
        swing = float(heard(write_wav(folder / "voice.wav", sound)).opening.std())
        yield Case(name, "how much the opening varies (sd)", "> 2 mm", f"{swing:.1f} mm", swing > 2.0)


def soundtrack(path: Path, speech: Speech) -> float:
    """Correlation of the sound that goes into the video with the speech, at the same times; 0 where their
    lengths or levels differ."""
    stream = stream_sound(path, speech.reading, rate=SPEECH_RATE)
    sound = np.concatenate(list(stream.chunks)).mean(axis=1)
    if (
        abs(len(sound) - len(speech.samples)) > 0.02 * SPEECH_RATE
        or abs(level(sound) - level(speech.samples)) > 1
    ):
        return 0.0
    return alike(sound, speech.samples)


def own_downmix(path: Path) -> Sound:
    """What FFmpeg makes of a file when it is asked for one channel of floats."""
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        resampler = av.AudioResampler(format="flt", layout="mono", rate=stream.rate)
        pieces = [p.to_ndarray()[0] for f in file.decode(stream) for p in resampler.resample(f)]
    return np.concatenate(pieces).astype(np.float64)
