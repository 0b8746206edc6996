"""Driven audio in pieces, each as soon as everything is known that its frames depend on.

The frames of a piece do not depend on how the audio came: the pieces of a video always begin and end at the
same frames. T frames of video at 25 fps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact
from sadtalker_service.engines.sadtalker.driving.blinking import FRAMES_OF_A_BLINK
from sadtalker_service.engines.sadtalker.driving.mel import (
    BANDS,
    VIDEO_RATE,
    first_columns,
    idle_windows,
    mel_windows,
    windows_within,
)

Float32 = NDArray[np.float32]

PIECE = 256
"""Frames of a piece, but for the last one of a video. A multiple of the frames whose head motion is made
together (`coefficients.CHUNK`)."""


class Piece(NamedTuple):
    """Some frames of a video, one after the other."""

    first: int
    """Number of its first frame."""
    windows: Float32
    """(n, 80, 16) mel windows of its frames. Unless it is the last piece, also that of the next frame."""
    known: int
    """The video has at least so many frames."""
    exactly: bool
    """The video has no more than these."""
    duration: float | None
    """Seconds of the video, in the last piece."""

    @property
    def is_last(self) -> bool:
        """Whether the video ends with it."""
        return self.duration is not None

    @property
    def frames(self) -> int:
        """Number of its frames."""
        return len(self.windows) - (not self.is_last)


def whole_frames(duration: float, fps: int) -> int:
    """Number of whole frames in `duration` seconds, at least one."""
    return max(1, int(duration * fps + 1e-6))


def heard(speech_features: Iterator[Artefact], duration: float | None, piece: int = PIECE) -> Iterator[Piece]:
    """The pieces of a video with driven audio.

    Args:
        speech_features: `mel`, float32 (m, 80), the next columns of the spectrogram. The last artefact has
            the length of the audio in its record, `end` in seconds.
        duration: of the video, in seconds, or None if it is as long as the audio.
        piece: frames of a piece.
    """
    columns, before, first, end = np.zeros((0, BANDS), np.float32), 0, 0, duration
    total = None if duration is None else whole_frames(duration, VIDEO_RATE)
    for artefact in speech_features:
        columns = np.concatenate([columns, artefact.arrays["mel"]])
        end = artefact.record["end"] if duration is None else duration
        known = windows_within(before + len(columns))
        while known >= first + piece + FRAMES_OF_A_BLINK and (total is None or total > first + piece):
            numbers = np.arange(first, first + piece + 1)
            windows = mel_windows(columns, numbers, before)
            yield Piece(first, windows, known if total is None else total, total is not None, None)
            first += piece
            needless = max(0, int(first_columns(first))) - before
            columns, before = columns[needless:], before + needless
    yield from _rest(lambda numbers: mel_windows(columns, numbers, before), first, end or 0.0, piece)


def idle(duration: float, piece: int = PIECE) -> Iterator[Piece]:
    """The pieces of a video of `duration` seconds without audio."""
    yield from _rest(lambda numbers: idle_windows(len(numbers)), 0, duration, piece)


def _rest(
    windows: Callable[[NDArray[np.integer]], Float32], first: int, duration: float, piece: int
) -> Iterator[Piece]:
    """The pieces from frame `first` to the end of the video."""
    total = whole_frames(duration, VIDEO_RATE)
    while first + piece < total:
        yield Piece(first, windows(np.arange(first, first + piece + 1)), total, True, None)
        first += piece
    yield Piece(first, windows(np.arange(first, total)), total, True, duration)
