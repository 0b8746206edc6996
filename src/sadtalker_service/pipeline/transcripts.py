"""The words of a recording, from a text of it that the caller has."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from sadtalker_service.domain import Artefact, Speech, SpeechFile, SpokenTimeline, TimedLabel
from sadtalker_service.errors import InvalidOption, TextTooLong
from sadtalker_service.pipeline.cached import CachedComputation
from sadtalker_service.speech.voices.scripts import check_scripts, without_pictures
from sadtalker_service.store.keys import captions_key

MOST_CHARACTERS = 20_000
"""Of a transcript: 20 minutes of speech."""
_KIND = "captions"
_VERSION = "1"
_NOT_FOUND = "The transcript could not be found in the recording: the times of its words are estimates."


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
    """What names a transcript: 64 hexadecimal digits."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def with_transcript(recording: Speech | SpeechFile, text: str, computation: CachedComputation) -> Speech:
    """The recording with the times of the words of `text`. Raises what `check_transcript` raises."""
    check_transcript(text)
    speech = recording.whole()  # its words are looked for in all of it

    def align() -> Artefact:
        from sadtalker_service.speech.captions.alignment import align_words  # noqa: PLC0415  loads a recogniser

        words, found = align_words(speech, text)
        return Artefact({}, {"words": [[word.label, word.start, word.end] for word in words], "found": found})

    facts = json.dumps(
        [speech.audio_hash, speech.reading.track if speech.reading else 0, transcript_id(text)]
    )
    key = captions_key(hashlib.sha256(facts.encode()).hexdigest(), _VERSION)
    record = computation.artefact(_KIND, key, "week", align).record
    words = tuple(TimedLabel(str(label), float(start), float(end)) for label, start, end in record["words"])
    warnings = speech.warnings if record["found"] else (*speech.warnings, _NOT_FOUND)
    return replace(speech, timeline=SpokenTimeline((), words), warnings=warnings)
