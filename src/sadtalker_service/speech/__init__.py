"""From driven audio to the motion of a mouth.

A `PhonemeTrack` comes from `recogniser` (pocketsphinx), from `signal_source` (no model), or from the times of
a speech synthesiser. `visemes` defines the mouth shape of each sound. `articulation` blends the shapes into
curves in millimetres with closures, pauses and accents. `recognize_speech` runs the whole chain.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sadtalker_service.speech.articulation import Articulation
    from sadtalker_service.speech.listening import recognize_speech, start_word_alignment

__all__ = ["Articulation", "recognize_speech", "start_word_alignment"]

_PLACES = {
    "Articulation": "sadtalker_service.speech.articulation",
    "recognize_speech": "sadtalker_service.speech.listening",
    "start_word_alignment": "sadtalker_service.speech.listening",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for by name: the API needs the voices of this room, and no recogniser.

    Raises `AttributeError`.
    """
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
