"""Events at a frame of a live session."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SpeakStarted:
    """The first sound of an utterance is heard."""

    event_id: str
    waited: float = 0.0
    """Seconds from the arrival of this sound to its frame."""


@dataclass(frozen=True)
class SpeakEnded:
    """No more sound of an utterance follows. Each utterance has exactly one such event."""

    event_id: str
    interrupted: bool
    """Whether some of its sound was dropped. If it was dropped before it began, there is no
    `SpeakStarted`."""


LiveEvent = SpeakStarted | SpeakEnded
