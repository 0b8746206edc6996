"""The recogniser and its fallbacks for silence, noise, and voices that it does not understand."""

from __future__ import annotations

import logging
import os
from functools import lru_cache, partial
from typing import Protocol, runtime_checkable

from sadtalker_service.domain import Speech, SpokenTimeline
from sadtalker_service.media.voice_activity import activity
from sadtalker_service.speech.articulation import Articulation, articulate
from sadtalker_service.speech.belief import believed
from sadtalker_service.speech.loudness import pitched_share
from sadtalker_service.speech.phonemes import Phoneme, PhonemeSource, PhonemeTrack
from sadtalker_service.speech.signal_source import SignalSource
from sadtalker_service.speech.utterances import recognize_stretches, utterances

_log = logging.getLogger(__name__)

_UNHEARD = 0.2
"""Recognition failed if it finds speech in less than this share of the pitched time."""
_SIGNALS = 0.15
"""If a larger share of the sound is steady tones, it is not a voice that recognition failed on."""


def recognize_speech(speech: Speech, source: PhonemeSource | None = None) -> Articulation:
    """Articulation of the driven audio. The mouth stays shut for silence and for steady noise.

    Speech with a timeline is not recognised: its phonemes are known.

    Args:
        speech: the driven audio.
        source: where phonemes come from. By default the recogniser, which is loaded once.
    """
    if speech.timeline is not None and speech.timeline.phonemes:
        return articulate(known_phonemes(speech.timeline), speech)
    return articulate(recognize_phonemes(speech, source or default_source()), speech)


def known_phonemes(timeline: SpokenTimeline) -> PhonemeTrack:
    """The phonemes of a synthesised voice, which are known exactly."""
    return PhonemeTrack.exact(tuple(Phoneme(one.label, one.start, one.end) for one in timeline.phonemes))


def recognize_phonemes(speech: Speech, source: PhonemeSource) -> PhonemeTrack:
    """Phonemes of `source` where there may be a voice.

    If `source` finds nothing in a voice, the phonemes come from the signal alone. Noise, tones and silence
    are pauses. If there is nothing else, the track is empty.
    """
    sound = activity(speech.samples)
    track = recognize_stretches(speech, utterances(sound.active), partial(_recognize_stretch, source))
    return believed(track, sound) if track.segmentations else track


def _recognize_stretch(source: PhonemeSource, speech: Speech) -> PhonemeTrack:
    """Phonemes of a stretch without long pauses."""
    track = source.phonemes(speech)
    voiced = pitched_share(speech.samples) * speech.duration
    not_understood = track.voiced_seconds() < _UNHEARD * voiced
    if not_understood and activity(speech.samples).steadiness < _SIGNALS:
        return SignalSource().phonemes(speech)
    return track


def start_word_alignment() -> None:
    """Let the recogniser use a second process if there is a core for it.

    This is for services, which process many recordings. It takes 0.2 GB from the second recording on.
    """
    source = default_source()
    if isinstance(source, _AlignsWords) and len(os.sched_getaffinity(0)) > 1:
        source.start_word_alignment_process()


@runtime_checkable
class _AlignsWords(Protocol):
    def start_word_alignment_process(self) -> None: ...


@lru_cache(maxsize=1)
def default_source() -> PhonemeSource:
    """The recogniser, or the signal alone if pocketsphinx is not installed. Loads once, in half a second."""
    try:
        from sadtalker_service.speech.recogniser import PocketsphinxRecogniser  # noqa: PLC0415
    except ImportError as error:  # no wheel for this platform
        _log.warning("recogniser_missing, lips follow the signal alone: %s", error)
        return SignalSource()
    return PocketsphinxRecogniser()
