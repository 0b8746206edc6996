"""The recogniser and its fallbacks: what to do with silence, noise, and voices it does not understand."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import Protocol, runtime_checkable

from sadtalker_service.domain import Speech
from sadtalker_service.speech.articulation import Articulation, articulate
from sadtalker_service.speech.loudness import is_voiceless, pitched_share
from sadtalker_service.speech.phonemes import PhonemeSource, PhonemeTrack
from sadtalker_service.speech.signal_source import SignalSource

_log = logging.getLogger(__name__)

_UNHEARD = 0.2
"""A recogniser that finds speech in less than this part of the time that has a pitch did not understand."""


def recognize_speech(speech: Speech, source: PhonemeSource | None = None) -> Articulation:
    """How a mouth says a recording; it stays shut for silence and for steady noise.

    Args:
        speech: the recording.
        source: where phonemes come from; by default the recogniser, which is loaded once.
    """
    return articulate(recognize_phonemes(speech, source or default_source()), speech)


def recognize_phonemes(speech: Speech, source: PhonemeSource) -> PhonemeTrack:
    """The phonemes of `source`, or of the signal alone if `source` hears nothing in a voice."""
    if is_voiceless(speech.samples):
        return PhonemeTrack(())
    track = source.phonemes(speech)
    voiced = pitched_share(speech.samples) * speech.duration
    if track.voiced_seconds() < _UNHEARD * voiced:
        return SignalSource().phonemes(speech)
    return track


def start_word_alignment() -> None:
    """Have the recogniser use a second process, if there is a core for it: for services, which hear many
    recordings. It takes 0.2 GB from the second recording on."""
    source = default_source()
    if isinstance(source, _AlignsWords) and len(os.sched_getaffinity(0)) > 1:
        source.start_word_alignment_process()


@runtime_checkable
class _AlignsWords(Protocol):
    def start_word_alignment_process(self) -> None: ...


@lru_cache(maxsize=1)
def default_source() -> PhonemeSource:
    """The recogniser, or the signal alone where pocketsphinx is not installed. Loads half a second, once."""
    try:
        from sadtalker_service.speech.recogniser import PocketsphinxRecogniser  # noqa: PLC0415
    except ImportError as error:  # no wheel for this platform
        _log.warning("recogniser_missing, lips follow the signal alone: %s", error)
        return SignalSource()
    return PocketsphinxRecogniser()
