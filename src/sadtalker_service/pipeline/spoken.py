"""Speaks texts. A phrase that is in the cache is not spoken again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Artefact, Speech, SpokenText, SpokenTimeline, TimedLabel
from sadtalker_service.files import output_errors
from sadtalker_service.media.sound_writer import SOUND_FORMATS, write_sound
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.speech.voices.catalogue import VoiceCard
from sadtalker_service.speech.voices.port import VOICE_RATE, Phrase, Utterance, Voice
from sadtalker_service.speech.voices.speaker import Script, read_text, recite, speak, voice_for
from sadtalker_service.speech.voices.trimming import Timeline, silence
from sadtalker_service.store.keys import voice_key

KIND = "voice"
"""Kind of the artefact that holds a spoken phrase."""
_READING = 2
"""Raise this whenever texts are read differently."""


@dataclass(frozen=True)
class CachedVoice:
    """A `Voice` that speaks each phrase once. Its samples have 16 bits, from the cache or not."""

    voice: Voice
    computation: CachedComputation

    @property
    def version(self) -> str:
        """Version of the voice."""
        return self.voice.version

    def speak(self, phrase: Phrase, card: VoiceCard) -> Utterance:
        """Speak the phrase, or return it from the cache. Raises the errors of the voice."""
        key = voice_key(_phrase_hash(phrase, card), self.version)
        artefact = self.computation.artefact(
            KIND, key, "week", lambda: _to_artefact(self.voice.speak(phrase, card))
        )
        return _from_artefact(artefact)


def spoken_id(spoken: SpokenText) -> str:
    """Identifies a spoken text as `audio_hash` identifies driven audio: 64 hexadecimal digits."""
    facts = [_READING, spoken.text, spoken.voice, spoken.rate]
    return hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()


def speak_text(
    spoken: SpokenText,
    path: Path,
    computation: CachedComputation,
    on_phrase: Callable[[], None] = lambda: None,
    threads: int = 0,
) -> Speech:
    """Speak a text into the WAV file `path`. `on_phrase` is called before every phrase and may raise.

    Raises `InvalidOption`, `TextTooLong`, `EngineUnavailable`, `OutputError`.
    """
    script = read_text(spoken)
    voice = _Watched(CachedVoice(voice_for(script.card, threads), computation), on_phrase)
    samples, timeline = recite(script, voice)
    with output_errors(path):
        path.write_bytes(b"".join(write_sound([samples], VOICE_RATE, SOUND_FORMATS["wav"], len(samples))))
    driving = np.asarray(soxr.resample(samples, VOICE_RATE, SPEECH_RATE), np.float32)
    return Speech(spoken_id(spoken), driving, path, warnings=script.warnings, timeline=timeline)


def spoken_pieces(
    script: Script, computation: CachedComputation, threads: int = 0
) -> Iterator[NDArray[np.float32]]:
    """The sound of a script while it is spoken: float32 (n,) at 24 kHz, a phrase at a time."""
    voice = CachedVoice(voice_for(script.card, threads), computation)
    lead = script.lead
    for utterance, pause in speak(script, voice):
        yield np.concatenate([silence(lead), utterance.samples, silence(pause)])
        lead = 0.0


def spoken_sentences(
    script: Script, computation: CachedComputation, threads: int = 0
) -> Iterator[tuple[NDArray[np.float32], SpokenTimeline]]:
    """The phrases of a script while they are spoken: float32 (n,) at 24 kHz, and the times of their words.

    The phonemes are empty if the voice does not know them. Raises `EngineUnavailable`.
    """
    voice = CachedVoice(voice_for(script.card, threads), computation)
    lead = script.lead
    for utterance, pause in speak(script, voice):
        timeline = Timeline()
        timeline.add_silence(lead)
        timeline.add(utterance, pause)
        yield np.concatenate([silence(lead), utterance.samples, silence(pause)]), timeline.finish()
        lead = 0.0


@dataclass(frozen=True)
class _Watched:
    voice: Voice
    on_phrase: Callable[[], None]

    @property
    def version(self) -> str:
        return self.voice.version

    def speak(self, phrase: Phrase, card: VoiceCard) -> Utterance:
        self.on_phrase()
        return self.voice.speak(phrase, card)


def _phrase_hash(phrase: Phrase, card: VoiceCard) -> str:
    tokens = [[token.written, token.spoken, token.mark, token.said] for token in phrase.tokens]
    text = json.dumps([card.id, phrase.rate, tokens], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _to_artefact(utterance: Utterance) -> Artefact:
    samples = np.rint(np.clip(utterance.samples, -1.0, 1.0) * 32767.0).astype(np.int16)
    record = {
        name: [[one.label, one.start, one.end] for one in labels]
        for name, labels in (("phonemes", utterance.phonemes), ("words", utterance.words))
    }
    return Artefact({"samples": samples}, record)


def _from_artefact(artefact: Artefact) -> Utterance:
    samples = artefact.arrays["samples"].astype(np.float32) / 32767.0
    labels = {
        name: tuple(
            TimedLabel(str(label), float(start), float(end)) for label, start, end in artefact.record[name]
        )
        for name in ("phonemes", "words")
    }
    return Utterance(samples, labels["phonemes"], labels["words"])
