"""Mel features of speech, as used to train the audio networks (those of Wav2Lip, Prajwal et al. 2020).

T frames of video at 25 fps, M columns of the spectrogram at 80 Hz.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE
from sadtalker_service.speech.sound_buffer import SoundBuffer

VIDEO_RATE = 25
"""Frame rate that the networks were trained with. Other rates are resampled from it."""
SAMPLES_PER_FRAME = SPEECH_RATE // VIDEO_RATE
"""640"""

BANDS = 80
WINDOW = 16
"""Spectrogram columns that a frame of video depends on: 0.2 s."""

_FFT, _HOP = 800, 200
"""50 ms and 12.5 ms."""
_COLUMNS_PER_SECOND = SPEECH_RATE // _HOP
_LOWEST, _HIGHEST = 55.0, 7600.0
"""Hz"""
_PREEMPHASIS = 0.97
_FLOOR, _REFERENCE, _RANGE, _LARGEST = 1e-5, 20.0, 100.0, 4.0
"""Minimum magnitude, dB of full scale, range in dB. The features are -4..4."""

_WINDOW_COLUMNS = 1024
"""Columns that come together: 320 frames of video."""


def frame_count(samples: int) -> int:
    """Number of whole video frames in `samples` samples at 16 kHz."""
    return samples // SAMPLES_PER_FRAME


def mel_spectrogram(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """(N,) samples at 16 kHz, nominally -1..1 -> (M, 80), -4..4.

    Only whole frames of video are used: M = 1 + 3.2 T, rounded down. Column k is centred at sample 200 k.
    """
    pieces = iter([np.asarray(samples, np.float32)])
    return np.concatenate([columns for columns, _ in mel_columns(pieces)])


def mel_columns(
    pieces: Iterator[NDArray[np.float32]],
) -> Iterator[tuple[NDArray[np.float32], float | None]]:
    """The spectrogram of sound that comes in pieces (n,), some columns (m, 80) at a time.

    Each comes as soon as its samples are known. With the last ones comes the length of the sound in seconds.
    How the sound is cut changes nothing.
    """
    sound = SoundBuffer(pieces)
    done = 0
    while sound.reaches((done + _WINDOW_COLUMNS) * _HOP + _FFT // 2 + SAMPLES_PER_FRAME):
        yield _columns(sound, done, done + _WINDOW_COLUMNS, sound.end), None
        done += _WINDOW_COLUMNS
        sound.forget(done * _HOP - _FFT)
    used = frame_count(sound.end) * SAMPLES_PER_FRAME
    last = max(done, used // _HOP + 1)
    yield _columns(sound, done, last, used), sound.end / SPEECH_RATE


def _columns(sound: SoundBuffer, first: int, last: int, end: int) -> NDArray[np.float32]:
    """Columns `first` to `last`, with silence before the sound and from sample `end` on."""
    before, after = first * _HOP - _FFT // 2, (last - 1) * _HOP + _FFT // 2
    start, stop = max(0, before), min(after, end)
    values = np.asarray(sound.between(max(0, start - 1), stop), np.float64)
    emphasised = values.copy()
    emphasised[1:] -= _PREEMPHASIS * values[:-1]
    emphasised = emphasised[1:] if start > 0 else emphasised
    padded = np.pad(emphasised, (start - before, max(0, after - stop)))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP]
    magnitude = np.abs(np.fft.rfft(pieces * _hann()))
    decibels = 20.0 * np.log10(np.maximum(magnitude @ mel_filters().T, _FLOOR)) - _REFERENCE
    features = 2 * _LARGEST * (decibels + _RANGE) / _RANGE - _LARGEST
    return np.clip(features, -_LARGEST, _LARGEST).astype(np.float32)


def mel_windows(
    mel: NDArray[np.float32], frames: NDArray[np.integer], before: int = 0
) -> NDArray[np.float32]:
    """(M, 80) features, (n,) frame numbers -> (n, 80, 16): the features that each frame of video depends on.

    A window begins two frames of video before its own. The first two windows begin 6 and 3 columns before the
    audio, not 7 and 4, because the position is rounded towards zero. Columns outside repeat the outermost
    one. `before`: columns that come before `mel`, of which no window needs any.
    """
    columns = np.clip(first_columns(frames)[:, None] + np.arange(WINDOW), 0, before + len(mel) - 1) - before
    return np.ascontiguousarray(mel[columns].transpose(0, 2, 1))


def first_columns(frames: NDArray[np.integer] | int) -> NDArray[np.intp]:
    """Number of the first column of the window of each frame. May be negative."""
    return np.trunc(_COLUMNS_PER_SECOND * (np.asarray(frames) - 2) / VIDEO_RATE).astype(np.intp)


def windows_within(columns: int) -> int:
    """Number of frames whose windows lie within the first `columns` columns of longer audio."""
    return max(0, ((columns - WINDOW) * VIDEO_RATE) // _COLUMNS_PER_SECOND + 3)


def idle_windows(frames: int) -> NDArray[np.float32]:
    """(frames, 80, 16) for a video without audio: zeros. This is not silence (-4), but idle motion has always
    been made from zeros."""
    return np.zeros((frames, BANDS, WINDOW), np.float32)


@lru_cache(maxsize=1)
def mel_filters() -> NDArray[np.float64]:
    """(80, 401) triangles over the FFT's frequencies, evenly spaced on Slaney's mel scale, each of unit area.

    Rounded to float32, like the features used in training.
    """
    centres = _from_mel(np.linspace(_to_mel(_LOWEST), _to_mel(_HIGHEST), BANDS + 2))
    frequencies = np.linspace(0.0, SPEECH_RATE / 2, _FFT // 2 + 1)
    widths = np.diff(centres)
    slopes = centres[:, None] - frequencies
    rising, falling = -slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]
    triangles = np.maximum(np.minimum(rising, falling), 0.0)
    areas = 2.0 / (centres[2:] - centres[:-2])
    return (triangles * areas[:, None]).astype(np.float32).astype(np.float64)


def _hann() -> NDArray[np.float64]:
    """Periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)


_LINEAR_TO, _HERTZ_PER_MEL = 1000.0, 200.0 / 3
_LOG_STEP = np.log(6.4) / 27
"""Slaney's Auditory Toolbox (1998): linear up to 1 kHz, logarithmic above."""


def _to_mel(hertz: float) -> float:
    if hertz < _LINEAR_TO:
        return hertz / _HERTZ_PER_MEL
    return _LINEAR_TO / _HERTZ_PER_MEL + float(np.log(hertz / _LINEAR_TO) / _LOG_STEP)


def _from_mel(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _LINEAR_TO / _HERTZ_PER_MEL
    logarithmic = _LINEAR_TO * np.exp(_LOG_STEP * (np.maximum(mels, knee) - knee))
    return np.where(mels < knee, mels * _HERTZ_PER_MEL, logarithmic)
