"""Filter the recogniser's output: it finds phones in noise and music, and holds some for too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter1d

from sadtalker_service.media.voice_activity import Activity
from sadtalker_service.speech.coarticulation import TICK_RATE
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, PhonemeTrack, Segmentation
from sadtalker_service.speech.visemes import VISEMES, as_visemes, visemes_of

Flags = NDArray[np.bool_]
Shares = NDArray[np.float64]
Spans = list[tuple[float, float]]

_HELD = 0.6
"""Seconds. A longer phone is accepted only if another segmentation also has speech there."""
_PRESSED = 1.2
"""Seconds. Lips that `p b m` shut in a pause are accepted if they are shut for less than this."""
_HANGOVER = 8
"""Ticks by which phones may extend beyond the active part."""
_SHORTEST = 0.02
"""Seconds. The rest of a cut phone must be longer."""
_SHORT_PHONE = 0.3
"""Seconds. Segmentations that agree on a longer phone agree on a musical note."""
_NEAR = 0.05
"""Seconds."""
_SILENT = 0.1
"""Seconds. Shorter silence of a sparse segmentation stays."""
_AROUND = 150
"""Ticks before and after each moment over which agreement is counted."""
BELIEF_MARGIN = 160
"""Ticks before and after a moment that decide whether its phonemes are accepted."""
_AGREED = 0.55
"""Share of the sound in which segmentations agree on short phones, as in speech and song. Above it there is a
voice in spite of the tones."""
_FEW, _DIFFERENT = 0.35, 0.1
"""Shares of speech and of agreement below which there is no voice, but drums, steps or typing. The voices
that were hardest to recognise had 0.55 and 0.2."""
_SIL = VISEMES.index("sil")


def believed(track: PhonemeTrack, sound: Activity) -> PhonemeTrack:
    """Replace implausible parts of `track` by silence.

    These are parts with only noise or tones, parts where the segmentations have too little speech or agree
    too little for a voice, and long phones that only one segmentation has. Silence of a sparse segmentation
    is then filled with what the first one has there.
    """
    kept_segmentations = _drop_held_phones(track.segmentations)
    plausible = sound.active
    witnesses = [s for s in kept_segmentations if not s.sparse]
    if len(witnesses) > 1:
        spoken, agreed = _shares(witnesses, sound.active)
        tones = sound.tonal & (agreed < _AGREED)
        plausible = sound.active & ~tones & ((spoken > _FEW) | (agreed > _DIFFERENT))
    else:
        plausible = sound.voiced
    spans = spans_of(binary_dilation(plausible, iterations=_HANGOVER))
    kept = [replace(s, phonemes=within(s.phonemes, spans)) for s in kept_segmentations]
    return PhonemeTrack(tuple(_filled(s, kept[0].phonemes) if s.sparse else s for s in kept))


def _filled(segmentation: Segmentation, others: Sequence[Phoneme]) -> Segmentation:
    """The segmentation with `others` where it is silent for long."""
    found: list[Phoneme] = []
    for phoneme in segmentation.phonemes:
        if phoneme.label != SILENCE or phoneme.end - phoneme.start < _SILENT:
            found.append(phoneme)
            continue
        cut = (replace(p, start=max(p.start, phoneme.start), end=min(p.end, phoneme.end)) for p in others)
        found += [p for p in cut if p.end > p.start]
    return replace(segmentation, phonemes=tuple(found))


def within(phonemes: Sequence[Phoneme], spans: Spans) -> tuple[Phoneme, ...]:
    """Cut the phonemes to `spans`, with silence in between.

    In a short pause a recogniser finds the closure before a stop. Real lips are shut there, so it is kept.
    """
    found: list[Phoneme] = []
    for phoneme in phonemes:
        if _is_closure_beside_sound(phoneme, spans):
            found.append(phoneme)
            continue
        at = phoneme.start
        for start, end in spans if phoneme.label != SILENCE else ():
            a, b = max(start, phoneme.start), min(end, phoneme.end)
            if b - a > _SHORTEST:
                found += _silence(at, a)
                found.append(Phoneme(phoneme.label, a, b))
                at = b
        found += _silence(at, phoneme.end)
    return tuple(found)


def _is_closure_beside_sound(phoneme: Phoneme, spans: Spans) -> bool:
    """Whether a phoneme is a lip closure right before or after an active span."""
    if visemes_of(phoneme.label) != ("PP",) or phoneme.end - phoneme.start >= _PRESSED:
        return False
    return any(start - _NEAR < phoneme.end and phoneme.start < end + _NEAR for start, end in spans)


def _silence(start: float, end: float) -> Iterator[Phoneme]:
    if end > start:
        yield Phoneme(SILENCE, start, end)


def _drop_held_phones(segmentations: Sequence[Segmentation]) -> tuple[Segmentation, ...]:
    """Remove phones longer than `_HELD` where no other segmentation has speech.

    A single segmentation is kept.
    """
    if len(segmentations) < 2:
        return tuple(segmentations)
    spoken = [
        [(p.start, p.end) for p in segmentation.phonemes if p.label != SILENCE]
        for segmentation in segmentations
    ]
    kept = []
    for i, mine in enumerate(segmentations):
        others = sorted(span for j, row in enumerate(spoken) if j != i for span in row)
        parts = [
            (phoneme,) if phoneme.end - phoneme.start <= _HELD else within((phoneme,), _joined(others))
            for phoneme in mine.phonemes
        ]
        kept.append(replace(mine, phonemes=tuple(chain.from_iterable(parts))))
    return tuple(kept)


def _joined(spans: Spans) -> Spans:
    """Merge sorted spans that overlap."""
    joined: Spans = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _shares(segmentations: Sequence[Segmentation], active: Flags) -> tuple[Shares, Shares]:
    """Shares of speech and of agreement in the active sound around each moment, float64 (T,) each.

    The first is the share that segmentations count as speech (mean). The second is the share in which two of
    them agree on a short phone (mean over the pairs).
    """
    spoken = np.mean(
        [_line(segmentation, len(active), np.inf) != _SIL for segmentation in segmentations], axis=0
    )
    lines = [_line(segmentation, len(active), _SHORT_PHONE) for segmentation in segmentations]
    agreed = np.mean([(a == b) & (a != _SIL) for a, b in combinations(lines, 2)], axis=0)
    width = 2 * _AROUND + 1
    sound = np.maximum(uniform_filter1d(active.astype(float), width, mode="constant"), 1.0 / width)
    share, alike = (uniform_filter1d(x * active, width, mode="constant") / sound for x in (spoken, agreed))
    return share, alike


def _line(segmentation: Segmentation, ticks: int, longest: float) -> NDArray[np.int_]:
    """int (T,): the viseme of every tick. Visemes longer than `longest` seconds count as silence."""
    line = np.full(ticks, _SIL)
    for viseme, start, end in as_visemes(segmentation.phonemes):
        if end - start <= longest:
            line[round(start * TICK_RATE) : round(end * TICK_RATE)] = viseme
    return line


def spans_of(flags: Flags) -> Spans:
    """Stretches in which the flags are set, seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(float(a) / TICK_RATE, float(b) / TICK_RATE) for a, b in edges.reshape(-1, 2)]
