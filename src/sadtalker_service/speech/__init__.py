"""From driven audio to the motion of a mouth.

A `PhonemeTrack` comes from `recogniser` (pocketsphinx), from `signal_source` (no model), or from the times of
a speech synthesiser. `visemes` defines the mouth shape of each sound. `articulation` blends the shapes into
curves in millimetres with closures, pauses and accents. `recognize_speech` runs the whole chain.
"""

from __future__ import annotations

from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.listening import recognize_speech, start_word_alignment

__all__ = ["Articulation", "recognize_speech", "start_word_alignment"]
