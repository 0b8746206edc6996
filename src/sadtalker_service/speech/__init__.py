"""From a recording to the motion of a mouth.

The way: `recogniser` (pocketsphinx) or `signal_source` (no model) or a synthesiser's own times give a
`PhonemeTrack`; `visemes` says what a mouth does for each sound; `articulation` blends that into curves in
millimetres with closures, pauses and accents. `recognize_speech` does it all.
"""

from __future__ import annotations

from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.listening import recognize_speech, start_word_alignment

__all__ = ["Articulation", "recognize_speech", "start_word_alignment"]
