"""A long recording as the stretches in which something is heard, and what was heard in them put together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.media.voice_activity import TICK
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, PhonemeTrack, Segmentation

_LONG_PAUSE = 100
"""Ticks: a recogniser need not hear more silence than this at a time."""
_MARGIN = 30
"""Ticks of what is around a stretch that are heard with it: a recogniser wants to know the silence."""


def utterances(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, last + 1) ticks of the stretches with something in them; pauses of a second part them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    found: list[tuple[int, int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if found and start - found[-1][1] < _LONG_PAUSE:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return [(max(0, start - _MARGIN), min(len(active), end + _MARGIN)) for start, end in found]


def heard_in(
    speech: Speech, stretches: list[tuple[int, int]], hear: Callable[[Speech], PhonemeTrack]
) -> PhonemeTrack:
    """What `hear` makes of each stretch, at its time, with silence between them. Opinions are those of the
    stretch that has most; one that is the only opinion on its stretch stands for all."""
    tracks = []
    for first, last in stretches:
        samples = speech.samples[first * TICK : last * TICK]
        tracks.append((first * TICK / SPEECH_RATE, len(samples), hear(Speech("", samples, speech.path))))
    tracks = [(begin, length, track) for begin, length, track in tracks if track.segmentations]
    if not tracks:
        return PhonemeTrack(())
    weights = max((track.segmentations for _, _, track in tracks), key=len)
    opinions: list[list[Phoneme]] = [[] for _ in weights]
    for begin, length, track in tracks:
        for i, so_far in enumerate(opinions):
            mine = track.segmentations[min(i, len(track.segmentations) - 1)]
            _append(so_far, mine, begin, begin + length / SPEECH_RATE)
    return PhonemeTrack(
        tuple(
            Segmentation(_ended(p, speech.duration), s.weight) for p, s in zip(opinions, weights, strict=True)
        )
    )


def _append(so_far: list[Phoneme], mine: Segmentation, begin: float, end: float) -> None:
    """The phonemes of a stretch, after silence since the last one."""
    last = so_far[-1].end if so_far else 0.0
    if begin > last:
        so_far.append(Phoneme(SILENCE, last, begin))
    so_far += [Phoneme(p.label, begin + p.start, min(begin + p.end, end)) for p in mine.phonemes]


def _ended(phonemes: list[Phoneme], duration: float) -> tuple[Phoneme, ...]:
    last = phonemes[-1].end if phonemes else 0.0
    return (*phonemes, Phoneme(SILENCE, last, duration)) if last < duration else tuple(phonemes)
