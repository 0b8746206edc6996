"""Text to speech: voices that also tell when they say which sound.

`catalogue` lists the voices. `markup` reads plain text and a subset of SSML. A `Reader` (`english`,
`spanish`, `espeak_reader`) turns text into tokens with phonemes. `phrases` cuts tokens into phrases. A
`Voice` (`kokoro`, `flite`) speaks a phrase. `speaker` goes the whole way.
"""

from __future__ import annotations

from sadtalker_service.speech.voices.catalogue import VoiceCard, find_voice
from sadtalker_service.speech.voices.port import VOICE_RATE, Utterance

__all__ = ["VOICE_RATE", "Utterance", "VoiceCard", "find_voice"]
