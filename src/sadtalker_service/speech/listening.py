"""The recogniser and its fallbacks for silence, noise, and voices that it does not understand.

The recording comes in pieces of any length, and goes through in windows. Where a window ends depends only on
how many samples came before, so the result does not depend on the pieces.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain, repeat
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Speech, SpokenTimeline
from sadtalker_service.media.voice_activity import ACTIVITY_MARGIN, TICK, Activity, activity
from sadtalker_service.speech.articulation import Articulation, Articulator, HeardWindow, joined
from sadtalker_service.speech.belief import BELIEF_MARGIN, believed
from sadtalker_service.speech.loudness import LOUDNESS_MARGIN, accents, level_db, loudness, pitched_share
from sadtalker_service.speech.phonemes import (
    SILENCE,
    Phoneme,
    PhonemeSource,
    PhonemeTrack,
    Segmentation,
    append,
)
from sadtalker_service.speech.signal_source import SignalSource
from sadtalker_service.speech.sound_buffer import SoundBuffer
from sadtalker_service.speech.utterances import recognize_stretches, utterances
from sadtalker_service.speech.word_aligner import word_aligner

_log = logging.getLogger(__name__)

Samples = NDArray[np.float32]

_UNHEARD = 0.2
"""Recognition failed if it finds speech in less than this share of the pitched time."""
_SIGNALS = 0.15
"""If a larger share of the sound is steady tones, it is not a voice that recognition failed on."""
_SHORTEST_REST = 0.75
"""A rest of the recording that is shorter than this share of a window belongs to that window."""
_NODS_EARLY = 30
"""Ticks after a window whose accents come with it: a nod begins before its accent."""
_RATE = SPEECH_RATE // TICK


@dataclass(frozen=True)
class Pace:
    """How much of the recording is heard at a time. All in ticks of 10 ms."""

    windows: tuple[int, ...] = (120, 500, 1000)
    """Lengths of the first windows. The last one repeats. Motion begins after the first one. The recogniser
    hears better in long windows: 5 s are almost as good as all, 3 s are not (docs/speech.md). The second one
    is done before the motion of the first is over."""
    before: int = 100
    """Sound before a window that the recogniser hears too."""
    after: int = 30
    """The same after a window: phones so close to the end of the known sound are not settled."""
    ahead: int = 500
    """Sound after a window that decides what is noise and what is loud. It costs little."""


FILE_PACE = Pace()
"""For a recording that is already there."""


def recognize_speech(speech: Speech, source: PhonemeSource | None = None) -> Articulation:
    """Articulation of the driven audio. The mouth stays shut for silence and for steady noise.

    Speech with a timeline is not recognised: its phonemes are known.

    Args:
        speech: the driven audio.
        source: where phonemes come from. By default the recogniser, which is loaded once.
    """
    return joined(articulation_windows(iter([speech.samples]), source, timeline=speech.timeline))


def known_phonemes(timeline: SpokenTimeline) -> PhonemeTrack:
    """The phonemes of a synthesised voice, which are known exactly."""
    return PhonemeTrack.exact(tuple(Phoneme(one.label, one.start, one.end) for one in timeline.phonemes))


def recognize_phonemes(speech: Speech, source: PhonemeSource) -> PhonemeTrack:
    """Phonemes of `source` where there may be a voice.

    If `source` finds nothing in a voice, the phonemes come from the signal alone. Noise, tones and silence
    are pauses.
    """
    tracks = [window.track.segmentations for window in listen(iter([speech.samples]), source)]
    widest = max(tracks, key=len)
    rows: list[list[Phoneme]] = [[] for _ in widest]
    for track in tracks:
        for i, row in enumerate(rows):
            append(row, track[min(i, len(track) - 1)].phonemes)
    return PhonemeTrack(tuple(replace(s, phonemes=tuple(row)) for row, s in zip(rows, widest, strict=True)))


def articulation_windows(
    pieces: Iterator[Samples],
    source: PhonemeSource | None = None,
    pace: Pace = FILE_PACE,
    timeline: SpokenTimeline | None = None,
) -> Iterator[Articulation]:
    """The articulation of a recording, window by window, as soon as each is settled.

    Args:
        pieces: float32 (n,) each, mono, 16 kHz, of any length. The next one is taken when it is needed.
        source: where phonemes come from. By default the recogniser, which is loaded once.
        pace: the lengths of the windows.
        timeline: what is said when, if that is known exactly. Nothing is recognised then.
    """
    articulator = Articulator()
    known = known_phonemes(timeline) if timeline is not None and timeline.phonemes else None
    source = source or (SignalSource() if known else default_source())
    for heard in listen(pieces, source, pace, known):
        yield articulator.push(heard)


def listen(
    pieces: Iterator[Samples],
    source: PhonemeSource,
    pace: Pace = FILE_PACE,
    known: PhonemeTrack | None = None,
) -> Iterator[HeardWindow]:
    """What is said in a recording, window by window. There is at least one. `known`: all of it, if known."""
    sound, listener = SoundBuffer(pieces), _Listener(source, pace, known)
    begin = 0
    for length in chain(pace.windows, repeat(pace.windows[-1])):
        stop, limit = begin + length, (begin + length + pace.ahead) * TICK
        end = None if sound.reaches(limit) else sound.end
        if end is not None:
            ticks = max(1, -(-end // TICK))
            limit = end
            if ticks - stop >= length * _SHORTEST_REST:
                end = None  # one more window follows
            else:
                stop = ticks
        yield listener.hear(sound, begin, stop, limit, end)
        if end is not None:
            return
        begin = stop
        sound.forget((begin - max(LOUDNESS_MARGIN, ACTIVITY_MARGIN)) * TICK)


class _Listener:
    """Hears one window after the other, and remembers the phonemes of the last seconds."""

    def __init__(self, source: PhonemeSource, pace: Pace, known: PhonemeTrack | None) -> None:
        self._source = source
        self._known = known
        self._pace = pace
        self._recent: list[list[Phoneme]] = []

    def hear(self, sound: SoundBuffer, begin: int, stop: int, limit: int, end: int | None) -> HeardWindow:
        """The window from tick `begin` to `stop`, from samples before `limit`."""
        track, active = (self._known, None) if self._known else self._believed(sound, begin, stop, limit)
        loud, peaks = self._loudness(sound, begin, stop, limit)
        inside = tuple(
            replace(s, phonemes=_cut(s.phonemes, begin / _RATE, stop / _RATE)) for s in track.segmentations
        )
        until = None if end is None else end / SPEECH_RATE
        return HeardWindow(PhonemeTrack(inside), loud, peaks, until, active=active)

    def _believed(
        self, sound: SoundBuffer, begin: int, stop: int, limit: int
    ) -> tuple[PhonemeTrack, NDArray[np.bool_]]:
        """What `source` hears in the window and around it, where it is plausible, and where in the window
        there may be a voice."""
        beyond = max(stop, -(-limit // TICK))
        latest = min(beyond, stop + self._pace.after)
        first = max(0, begin - max(BELIEF_MARGIN, self._pace.before))
        active = self._activity(sound, first, latest, limit)
        track = self._recognized(sound, active, first, max(first, begin - self._pace.before), latest, limit)
        segmentations = self._with_recent(track, begin, latest)
        kept = believed(_moved(PhonemeTrack(segmentations), -first), active)
        self._remember(segmentations, begin, stop)
        return _moved(kept, first), active.active[begin - first : stop - first]

    @staticmethod
    def _activity(sound: SoundBuffer, first: int, last: int, limit: int) -> Activity:
        """Activity of the ticks from `first` to `last`."""
        start = max(0, first - ACTIVITY_MARGIN)
        found = activity(sound.between(start * TICK, min(limit, (last + ACTIVITY_MARGIN) * TICK)))
        here = slice(first - start, last - start)
        return Activity(found.active[here], found.tonal[here], found.steadiness)

    def _recognized(
        self, sound: SoundBuffer, active: Activity, first: int, begin: int, latest: int, limit: int
    ) -> PhonemeTrack:
        """Phonemes of `source` in the active parts from tick `begin` to `latest`."""
        samples = sound.between(begin * TICK, min(limit, latest * TICK))
        speech = Speech("", samples, Path())
        stretches = utterances(active.active[begin - first :])
        track = recognize_stretches(speech, stretches, partial(_recognize_stretch, self._source))
        return _moved(track, begin)

    def _with_recent(self, track: PhonemeTrack, begin: int, latest: int) -> tuple[Segmentation, ...]:
        """The phonemes of the last seconds, then those of `track` from tick `begin` on."""
        new = track.segmentations or (Segmentation((Phoneme(SILENCE, begin / _RATE, latest / _RATE),)),)
        count = max(len(new), len(self._recent))
        if not self._recent:
            self._recent = [[] for _ in range(count)]
        self._recent += [list(self._recent[-1]) for _ in range(count - len(self._recent))]
        rows = [list(recent) for recent in self._recent]
        for i, row in enumerate(rows):
            append(row, _cut(new[min(i, len(new) - 1)].phonemes, begin / _RATE, latest / _RATE))
        kinds = new if len(new) == count else self._kinds
        return tuple(replace(kind, phonemes=tuple(row)) for kind, row in zip(kinds, rows, strict=True))

    def _remember(self, segmentations: Iterable[Segmentation], begin: int, stop: int) -> None:
        self._kinds = segmentations = tuple(segmentations)
        oldest = (stop - BELIEF_MARGIN) / _RATE
        rows = [_cut(s.phonemes, 0.0, stop / _RATE) for s in segmentations]
        self._recent = [[p for p in row if p.end > oldest] for row in rows]

    @staticmethod
    def _loudness(
        sound: SoundBuffer, begin: int, stop: int, limit: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Loudness of the ticks from `begin` to `stop`, and the accents in them and shortly after."""
        start = max(0, begin - LOUDNESS_MARGIN)
        loud = loudness(level_db(sound.between(start * TICK, min(limit, (stop + LOUDNESS_MARGIN) * TICK))))
        peaks = accents(loud)
        peaks[:, 0] += start / _RATE
        first, last = (begin + _NODS_EARLY if begin else 0), stop + _NODS_EARLY
        inside = (peaks[:, 0] >= first / _RATE - 1e-4) & (peaks[:, 0] < last / _RATE - 1e-4)
        return loud[begin - start : stop - start], peaks[inside]


def _moved(track: PhonemeTrack, ticks: int) -> PhonemeTrack:
    """The track later by some ticks."""
    by = ticks / _RATE
    return PhonemeTrack(
        tuple(
            replace(s, phonemes=tuple(Phoneme(p.label, p.start + by, p.end + by) for p in s.phonemes))
            for s in track.segmentations
        )
    )


def _cut(phonemes: Iterable[Phoneme], start: float, end: float) -> tuple[Phoneme, ...]:
    """The parts of phonemes between two times."""
    parts = (Phoneme(p.label, max(p.start, start), min(p.end, end)) for p in phonemes)
    return tuple(p for p in parts if p.end - p.start > 1e-6)


def _recognize_stretch(source: PhonemeSource, speech: Speech) -> PhonemeTrack:
    """Phonemes of a stretch without long pauses."""
    track = source.phonemes(speech)
    voiced = pitched_share(speech.samples) * speech.duration
    not_understood = track.voiced_seconds() < _UNHEARD * voiced
    if not_understood and activity(speech.samples).steadiness < _SIGNALS:
        return SignalSource().phonemes(speech)
    return track


def start_word_alignment(*, now: bool = False) -> None:
    """Let the recogniser use a second process if there is a core for it: from the next window on, or `now`.

    It takes 0.2 GB.
    """
    source = default_source()
    if isinstance(source, _AlignsWords) and len(os.sched_getaffinity(0)) > 1:
        source.start_word_alignment_process(now=now)


@runtime_checkable
class _AlignsWords(Protocol):
    def start_word_alignment_process(self, *, now: bool = False) -> None: ...


@lru_cache(maxsize=1)
def default_source() -> PhonemeSource:
    """The recogniser, or the signal alone if pocketsphinx is not installed. Loads once, in half a second."""
    try:
        from sadtalker_service.speech.recogniser import PocketsphinxRecogniser  # noqa: PLC0415
    except ImportError as error:  # no wheel for this platform
        _log.warning("recogniser_missing, lips follow the signal alone: %s", error)
        return SignalSource()
    return PocketsphinxRecogniser(word_aligner())
