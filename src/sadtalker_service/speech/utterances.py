"""Split a long recording into its active stretches, and join their phonemes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.media.voice_activity import TICK
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, PhonemeTrack, Segmentation

_LONG_PAUSE = 100
"""Ticks. A recogniser does not need more silence than this at a time."""
_MARGIN = 30
"""Ticks of context on both sides of a stretch. A recogniser needs them to estimate the silence."""


def utterances(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, last + 1) ticks of the active stretches. Pauses of a second separate them."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    found: list[tuple[int, int]] = []
    for start, end in edges.reshape(-1, 2).tolist():
        if found and start - found[-1][1] < _LONG_PAUSE:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return [(max(0, start - _MARGIN), min(len(active), end + _MARGIN)) for start, end in found]


def recognize_stretches(
    speech: Speech, stretches: list[tuple[int, int]], recognize: Callable[[Speech], PhonemeTrack]
) -> PhonemeTrack:
    """Run `recognize` on each stretch and join the phonemes at their times, with silence in between.

    There are as many segmentations as the stretch with the most has. A single segmentation of a stretch is
    used for all of them.
    """
    tracks = []
    for first, last in stretches:
        samples = speech.samples[first * TICK : last * TICK]
        tracks.append((first * TICK / SPEECH_RATE, len(samples), recognize(Speech("", samples, speech.path))))
    tracks = [(begin, length, track) for begin, length, track in tracks if track.segmentations]
    if not tracks:
        return PhonemeTrack(())
    weights = max((track.segmentations for _, _, track in tracks), key=len)
    segmentations: list[list[Phoneme]] = [[] for _ in weights]
    for begin, length, track in tracks:
        for i, so_far in enumerate(segmentations):
            segmentation = track.segmentations[min(i, len(track.segmentations) - 1)]
            _append(so_far, segmentation, begin, begin + length / SPEECH_RATE)
    return PhonemeTrack(
        tuple(
            replace(s, phonemes=_ended(p, speech.duration))
            for p, s in zip(segmentations, weights, strict=True)
        )
    )


def _append(so_far: list[Phoneme], segmentation: Segmentation, begin: float, end: float) -> None:
    """Append the phonemes of a stretch, after silence since the last one."""
    last = so_far[-1].end if so_far else 0.0
    if begin > last:
        so_far.append(Phoneme(SILENCE, last, begin))
    so_far += [Phoneme(p.label, begin + p.start, min(begin + p.end, end)) for p in segmentation.phonemes]


def _ended(phonemes: list[Phoneme], duration: float) -> tuple[Phoneme, ...]:
    last = phonemes[-1].end if phonemes else 0.0
    return (*phonemes, Phoneme(SILENCE, last, duration)) if last < duration else tuple(phonemes)
