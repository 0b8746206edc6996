"""Finds the times of the words in driven audio: of a given transcript, or of recognised words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sadtalker_service.domain import Artefact, Speech, SpeechFile, SpokenTimeline, TimedLabel
from sadtalker_service.errors import InvalidOption, TextTooLong
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.speech.captions import recogniser
from sadtalker_service.speech.voices.scripts import check_scripts, without_pictures
from sadtalker_service.store.keys import captions_key

MOST_CHARACTERS = 20_000
"""Longest transcript: 20 minutes of speech."""
_KIND = "captions"
_VERSION = "1"
_NOT_FOUND = "The transcript does not match the driven audio, so the times of its words are estimates."
_RECOGNISED = (
    "The words of the captions were recognised (language: {language}) and may be wrong. Send the words"
    " as transcript to have them exactly."
)
_NO_VOICE = "No speech was found in the driven audio, so there are no captions."


def check_transcript(text: str, param: str = "transcript") -> None:
    """Raises `TextTooLong`, `InvalidOption` for an empty text and for letters that are not Latin."""
    if len(text) > MOST_CHARACTERS:
        raise TextTooLong(
            f"The transcript has {len(text):,} characters; at most {MOST_CHARACTERS:,} are aligned.",
            param=param,
        )
    cleaned, _ = without_pictures(text)
    if not any(letter.isalnum() for letter in cleaned):
        raise InvalidOption("The transcript has no word.", param=param)
    check_scripts(cleaned, "English", ("LATIN", "GREEK"), param)


def transcript_id(text: str) -> str:
    """Identifies a transcript: 64 hexadecimal digits."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def with_words(
    recording: Speech | SpeechFile,
    transcript: str,
    computation: CachedComputation,
    check: Callable[[], None],
    threads: int,
) -> Speech | SpeechFile:
    """The driven audio with the times of its words: those of `transcript`, or if that is empty, recognised
    ones. Raises what `with_transcript` and `check` raise."""
    if transcript:
        return with_transcript(recording, transcript, computation)
    return with_recognised_words(recording, computation, threads, check)


def with_transcript(recording: Speech | SpeechFile, text: str, computation: CachedComputation) -> Speech:
    """The driven audio with the times of the words of `text`. Raises the errors of `check_transcript`."""
    check_transcript(text)
    speech = recording.whole()  # its words may be anywhere in it

    def align() -> Artefact:
        from sadtalker_service.speech.captions.alignment import align_words  # noqa: PLC0415  loads a recogniser

        words, found = align_words(speech, text)
        return Artefact({}, {"words": [[word.label, word.start, word.end] for word in words], "found": found})

    record = computation.artefact(_KIND, _key(speech, transcript_id(text), _VERSION), "week", align).record
    return _with_words(speech, record["words"], "" if record["found"] else _NOT_FOUND)


def with_recognised_words(
    recording: Speech | SpeechFile,
    computation: CachedComputation,
    threads: int = 1,
    check: Callable[[], None] = lambda: None,
) -> Speech | SpeechFile:
    """The driven audio with its words, recognised by a network. Unchanged if the extra is not installed.

    `check` is called every few seconds of speech and may raise.
    """
    if recogniser.obstacle():
        return recording
    speech = recording.whole()

    def recognise() -> Artefact:
        words, language = recogniser.recognise_words(speech.samples, max(1, threads), check)
        if language == "en":
            words = _timed_exactly(speech, words)
        return Artefact(
            {}, {"words": [[word.label, word.start, word.end] for word in words], "language": language}
        )

    record = computation.artefact(_KIND, _key(speech, "", recogniser.VERSION), "week", recognise).record
    warning = _RECOGNISED.format(language=record["language"]) if record["words"] else _NO_VOICE
    return _with_words(speech, record["words"], warning)


def _timed_exactly(speech: Speech, words: tuple[TimedLabel, ...]) -> tuple[TimedLabel, ...]:
    """English words with the times of forced alignment, where that finds them: the network's own are up to
    0.4 s early."""
    from sadtalker_service.speech.captions.alignment import align_words  # noqa: PLC0415  loads a recogniser

    try:
        aligned, found = align_words(speech, " ".join(word.label for word in words))
    except InvalidOption:  # a letter that the English reader does not know
        return words
    return aligned if found else words


def _key(speech: Speech, words: str, version: str) -> str:
    facts = json.dumps([speech.audio_hash, speech.reading.track if speech.reading else 0, words])
    return captions_key(hashlib.sha256(facts.encode()).hexdigest(), version)


def _with_words(speech: Speech, words: Iterable[Sequence[Any]], warning: str) -> Speech:
    timed = tuple(TimedLabel(str(label), float(start), float(end)) for label, start, end in words)
    warnings = (*speech.warnings, warning) if warning else speech.warnings
    return replace(speech, timeline=SpokenTimeline((), timed), warnings=warnings)
