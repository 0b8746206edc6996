"""What an engine offers to live sessions: motion frame by frame, while the sound arrives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Motion, TimedLabel


@dataclass(frozen=True)
class KnownSpeech:
    """What is said in a stretch of sound, known from a synthesised voice."""

    phonemes: tuple[TimedLabel, ...]
    """Times in seconds from the beginning of the stretch."""
    begin: float
    """Seconds from the first sample of `LiveMoment.sound` to the beginning of the stretch, at least 0."""
    seconds: float
    """Length of the stretch. It may go on in the sound of later moments."""


@dataclass(frozen=True, eq=False)
class LiveMoment:
    """What a live driver needs to know for the next frame."""

    sound: NDArray[np.float32]
    """float32 (SPEECH_RATE // fps,), mono, 16 kHz: the next sound. It is shown `look_ahead` seconds later."""
    known: tuple[KnownSpeech, ...] = ()
    """Stretches that begin in this sound and need not be recognised."""
    interrupted: bool = False
    """Forget the sound that was not shown yet, and shut the mouth within three frames."""
    visitor: float = 0.0
    """Level of the visitor's voice, 0..1. The avatar looks at the visitor and nods."""


class LiveDriver(ABC):
    """Moves a face that speaks and idles without end. Not safe for several threads."""

    look_ahead: float
    """Seconds of sound that are heard before the frame that shows them begins. A whole number of 10 ms."""

    @abstractmethod
    def move(self, moment: LiveMoment) -> Motion:
        """Coefficients of the next frame: exactly one."""

    def close(self) -> None:  # noqa: B027  a driver need not
        """Give back what it holds."""
