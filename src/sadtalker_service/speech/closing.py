"""When lips must meet and when the mouth rests: closures for p b m f v, and pauses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.speech.coarticulation import LEAD, TICK_RATE
from sadtalker_service.speech.phonemes import PhonemeTrack, Segmentation
from sadtalker_service.speech.visemes import OPENING, PRESS, TONGUE, TUCK, VISEMES, as_visemes

BILABIAL, LABIODENTAL = 0, 1

Float32 = NDArray[np.float32]
Flags = NDArray[np.bool_]

_MAJORITY = 0.49
"""Share of the segmentations that must agree. Half is enough."""
_SHORTEST_CLOSURE = 0.06
"""Seconds. Longer than one frame at 25 fps, so that every closure is visible."""
_LONGEST_CLOSURE = 0.16
"""Seconds. A longer m comes from the recogniser and not from the lips."""
_APPROACH = 0.05
"""Seconds in which lips come together before a closure and part after it."""
_LABIODENTAL_GAP = 1.5
"""Largest opening while the lower lip touches the upper teeth, mm."""
_WAITING = 0.4
"""Lips that are shut for longer than this, in seconds, are resting before a word and form no sound."""
_SHORTEST_PAUSE = 0.15
"""A shorter silence is part of a word, seconds."""
_AJAR, _SHUT = 0.5, 0.9
"""In a pause the mouth stays ajar up to the first time and is shut from the second, seconds."""
_FALLING, _SILENT = 0.12, 0.45
"""Where there is no voice at all, the mouth begins to shut and is shut, seconds."""
_REOPEN = 0.2
"""Seconds in which a shut mouth opens before speech."""


def closures_of(track: PhonemeTrack) -> Float32:
    """float32 (K, 3): kind, start, end of each closure that at least half of the segmentations contain."""
    rows: list[tuple[float, float, float]] = []
    for kind, viseme in ((BILABIAL, "PP"), (LABIODENTAL, "FF")):
        spans = [_spans(s, VISEMES.index(viseme)) for s in track.segmentations]
        for start, end in _agreed(spans, [s.weight for s in track.segmentations]):
            half = np.clip(end - start, _SHORTEST_CLOSURE, _LONGEST_CLOSURE) / 2
            middle = (start + end) / 2 - LEAD
            if middle + half > 0:
                rows.append((kind, middle - half, middle + half))
    return np.array(sorted(rows, key=lambda row: row[1]), np.float32).reshape(-1, 3)


def pauses_of(track: PhonemeTrack, duration: float, begin: float = 0.0) -> Float32:
    """float32 (P, 2): start and end of the stretches that most segmentations count as silent.

    The track covers `begin` to `duration`, seconds.
    """
    spans = [
        [(a, b) for v, a, b in as_visemes(s.phonemes) if not _is_rest(v, b - a)] for s in track.segmentations
    ]
    spoken = _agreed(spans, [s.weight for s in track.segmentations])
    edges = [begin, *(t - LEAD for span in spoken for t in span), duration]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    kept = [(a, b) for a, b in gaps if b - a >= _SHORTEST_PAUSE or not spoken]
    return np.array(kept, np.float32).reshape(-1, 2)


def _is_rest(viseme: int, seconds: float) -> bool:
    """Whether a viseme is silence, or closed lips that wait to open again."""
    return viseme == VISEMES.index("sil") or (viseme == VISEMES.index("PP") and seconds > _WAITING)


def close_lips(motion: Float32, closures: Float32, begin: int = 0) -> None:
    """Shut the lips of `motion` (T, 8) for every p b m, and put the lower lip under the teeth for f v.

    The first row is that of tick `begin`.
    """
    seconds = np.arange(begin, begin + len(motion)) / TICK_RATE
    for kind, start, end in closures:
        near = slice(*np.searchsorted(seconds, (start - _APPROACH, end + _APPROACH)))
        closed = _ramp(1.0 - _outside(seconds[near], start, end) / _APPROACH)
        part = motion[near]
        if kind == BILABIAL:
            part[:, (OPENING, TONGUE)] *= (1.0 - closed)[:, None]
            part[:, PRESS] = np.maximum(part[:, PRESS], closed)
        else:
            wide = np.maximum(part[:, OPENING] - _LABIODENTAL_GAP, 0.0)
            part[:, OPENING] -= closed * wide
            part[:, TUCK] = np.maximum(part[:, TUCK], closed)


def rest_in_pauses(
    motion: Float32, pauses: Float32, duration: float, begin: int = 0, speech_from: float = 0.0
) -> None:
    """Shut the mouth of `motion` (T, 8) in long pauses, and before and after all speech.

    The first row is that of tick `begin`. A pause that begins at `speech_from` seconds has lasted for long,
    and the end of one that reaches `duration` is not near.
    """
    seconds = np.arange(begin, begin + len(motion)) / TICK_RATE
    for start, end in pauses:
        since = np.inf if start <= speech_from else seconds - start
        until = np.inf if end >= duration else end - seconds
        shut = np.minimum(_ramp((since - _AJAR) / (_SHUT - _AJAR)), _ramp(until / _REOPEN))
        inside = (seconds >= start) & (seconds <= end)
        motion[inside] *= (1.0 - np.broadcast_to(shut, seconds.shape)[inside])[:, None]


def rest_in_silence(motion: Float32, quiet: Float32, duration: float, begin: int = 0) -> None:
    """Shut the mouth of `motion` (T, 8) within half a second in stretches (Q, 2) without any voice.

    The first row is that of tick `begin`. The end of a stretch that reaches `duration` is not near.
    """
    seconds = np.arange(begin, begin + len(motion)) / TICK_RATE
    for start, end in quiet:
        until = np.inf if end >= duration else end - seconds
        shut = np.minimum(_ramp((seconds - start - _FALLING) / (_SILENT - _FALLING)), _ramp(until / _REOPEN))
        inside = (seconds >= start) & (seconds <= end)
        motion[inside] *= (1.0 - np.broadcast_to(shut, seconds.shape)[inside])[:, None]


def _spans(segmentation: Segmentation, viseme: int) -> list[tuple[float, float]]:
    return [(a, b) for v, a, b in as_visemes(segmentation.phonemes) if v == viseme]


def _agreed(opinions: list[list[tuple[float, float]]], weights: list[float]) -> list[tuple[float, float]]:
    """Spans that at least half of the weighted segmentations contain. The times keep their precision."""
    steps = sorted(
        (
            (time, share)
            for spans, weight in zip(opinions, weights, strict=True)
            for start, end in spans
            for time, share in ((start, weight), (end, -weight))
        ),
        key=lambda step: (step[0], -step[1]),  # adjacent neighbours are one span
    )
    need = _MAJORITY * sum(weights)
    agreed: list[tuple[float, float]] = []
    votes, begin = 0.0, None
    for time, share in steps:
        votes += share
        if votes >= need and begin is None:
            begin = time
        elif votes < need and begin is not None:
            agreed.append((begin, time))
            begin = None
    return agreed


def _outside(seconds: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Distance in seconds from an interval, 0 inside it."""
    return np.maximum(np.maximum(start - seconds, seconds - end), 0.0)


def _ramp(x: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Smooth step from 0 at x = 0 to 1 at x = 1."""
    clipped = np.clip(x, 0.0, 1.0)
    return np.asarray(clipped * clipped * (3.0 - 2.0 * clipped), np.float64)
