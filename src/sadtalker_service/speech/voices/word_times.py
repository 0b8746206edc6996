"""Word times for a voice that reports only the times of its phonemes, or none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sadtalker_service.domain import TimedLabel
from sadtalker_service.speech.phonemes import SILENCE
from sadtalker_service.speech.voices.port import Token


def spread_words(tokens: Sequence[Token], phonemes: Sequence[TimedLabel]) -> tuple[TimedLabel, ...]:
    """Spread words over the stretches with speech. Each word gets the share that its phonemes suggest.

    A comma is held against the nearest pause. Empty if `phonemes` is.
    """
    voiced = [one for one in phonemes if one.label != SILENCE]
    if not voiced:
        return ()
    lengths = np.array([max(1, _sounds(token)) for token in tokens], float)
    shares = np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()])
    spent = np.concatenate([[0.0], np.cumsum([one.end - one.start for one in voiced])])
    edges = np.array([voiced[0].start, *(one.end for one in voiced)])
    starts = np.array([*(one.start for one in voiced), voiced[-1].end])
    words = []
    for token, first, last in zip(tokens, shares, shares[1:], strict=False):
        start = float(np.interp(first * spent[-1], spent, starts))
        end = float(np.interp(last * spent[-1], spent, edges))
        words.append(TimedLabel(token.written + token.mark, start, max(start, end)))
    return tuple(words)


def _sounds(token: Token) -> int:
    return sum(1 for sound in token.spoken if sound not in " ˈˌː")
