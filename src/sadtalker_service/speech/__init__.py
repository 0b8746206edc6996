"""From driven audio to the motion of a mouth.

A `PhonemeTrack` comes from `recogniser` (pocketsphinx), from `signal_source` (no model), or from the times of
a speech synthesiser. `visemes` defines the mouth shape of each sound. `articulation` blends the shapes into
curves in millimetres with closures, pauses and accents. `articulation_windows` runs the whole chain while the
sound comes in, and `recognize_speech` joins its windows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sadtalker_service.speech.articulation import Articulation
    from sadtalker_service.speech.listening import (
        articulation_windows,
        recognize_speech,
        start_word_alignment,
    )

__all__ = ["Articulation", "articulation_windows", "recognize_speech", "start_word_alignment"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the recogniser's child process needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "articulation" if name == "Articulation" else "listening"
    return getattr(import_module(f"{__name__}.{module}"), name)
