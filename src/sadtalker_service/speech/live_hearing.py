"""Hear a live voice: what `listening` is for a recording, with a small look-ahead in place of windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE
from sadtalker_service.media.voice_activity import TICK, above_floor, band_levels, pitched_ticks
from sadtalker_service.speech.articulation import HeardWindow
from sadtalker_service.speech.belief import spans_of, within
from sadtalker_service.speech.loudness import accents, level_db, loudness
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, PhonemeTrack, Segmentation
from sadtalker_service.speech.running import RunningSource

LOOK_AHEAD = 14
"""Ticks of sound after a moment that decide its motion. docs/live.md shows what more and less would do."""
_SECOND = SPEECH_RATE // TICK
_LEVELS = 500
"""Ticks of levels that are kept."""
_EDGE = 4
"""Ticks before new sound whose levels it changes."""
_REST = 60
"""Ticks of digital silence after which the source ends its search."""
_HANGOVER = 8
"""Ticks by which phones may extend beyond the active sound."""
_HELD = 0.8
"""Seconds. A search stays longer than this in one phone only where it hears noise."""
_SETTLED_PEAK = 12
"""Ticks after a peak of loudness that make it an accent."""

Float32 = NDArray[np.float32]


class LiveHearing:
    """Takes sound without end, a few ticks at a time, and gives what is said in it `look_ahead` ticks later.

    Its memory is five seconds. Sound in which the phonemes are known is not recognised.
    """

    def __init__(self, source: RunningSource, look_ahead: int = LOOK_AHEAD) -> None:
        """`source`: belongs to this voice alone."""
        self._source = source
        self._look_ahead = look_ahead
        self._running = False
        self._quiet = _REST
        """Ticks of digital silence so far."""
        self._heard = 0
        self._told = 0
        self._accents_told = 0.0
        self._sound = np.zeros(0, np.float32)
        self._bands = np.zeros((0, 16), np.float32)
        self._pitch = np.zeros(0, np.bool_)
        self._level = np.zeros(0, np.float32)
        self._known: list[Phoneme] = []
        self._known_spans: list[tuple[float, float]] = []

    @property
    def heard(self) -> int:
        """Ticks of sound so far."""
        return self._heard

    def tell(self, phonemes: Sequence[Phoneme], begin: float, seconds: float) -> None:
        """The phonemes of `seconds` of sound are known. Times count from its first sample.

        It begins `begin` seconds after what was heard.
        """
        begin += self._heard / _SECOND
        self._known += [Phoneme(p.label, begin + p.start, begin + p.end) for p in phonemes]
        self._known_spans.append((begin, begin + seconds))

    def hear(self, samples: Float32) -> HeardWindow:
        """What was said in the ticks that are settled now.

        `samples`: the next sound, float32 (n · TICK,), mono, 16 kHz.
        """
        self._take(samples)
        stop = max(self._told, self._heard - self._look_ahead)
        guess = self._guess()
        begin, end = self._told / _SECOND, stop / _SECOND
        until = max([self._heard / _SECOND, *(later for _, later in self._known_spans)])
        inside = tuple(Segmentation(cut(s.phonemes, begin, end), s.weight) for s in guess)
        ahead = tuple(Segmentation(cut(s.phonemes, end, min(until, end + 0.5)), s.weight) for s in guess)
        loud = loudness(self._level)
        first = self._heard - len(self._level)
        window = HeardWindow(
            PhonemeTrack(inside),
            loud[self._told - first : stop - first],
            self._new_accents(loud, first),
            None,
            PhonemeTrack(ahead),
        )
        self._told = stop
        self._forget()
        return window

    def drop(self) -> None:
        """Forget the sound that was heard and not told, as if there had been silence."""
        dropped = self._heard - self._told
        count = min(dropped * TICK, len(self._sound))
        self._sound[len(self._sound) - count :] = 0.0
        if dropped:
            self._level[-dropped:] = level_db(np.zeros(dropped * TICK, np.float32))
            self._bands[-dropped:] = band_levels(np.zeros(dropped * TICK, np.float32), dropped)
            self._pitch[-dropped:] = False
        now = self._told / _SECOND
        self._known = list(cut(self._known, 0.0, now))
        self._known_spans = [(a, min(b, now)) for a, b in self._known_spans if a < now]
        self._rest()

    def _take(self, samples: Float32) -> None:
        count = len(samples) // TICK
        now = self._heard / _SECOND
        self._quiet = 0 if samples.any() else self._quiet + count
        if any(a <= now < b - 1e-6 for a, b in self._known_spans) or self._quiet > _REST:
            self._rest()
        else:
            if not self._running:
                self._source.begin(self._heard)
                self._running = True
            self._source.push(samples)
        self._heard += count
        edge = self._sound[-(_EDGE + 2) * TICK :]
        self._sound = np.concatenate([edge, samples])
        ticks = len(self._sound) // TICK
        changed = min(count + _EDGE, ticks)
        bands = band_levels(self._sound, ticks)[ticks - changed :]
        kept = len(self._bands) - (changed - count)
        pitch = pitched_ticks(self._sound, ticks)[ticks - changed :]
        self._bands = np.concatenate([self._bands[: max(kept, 0)], bands])[-_LEVELS:]
        self._pitch = np.concatenate([self._pitch[: max(kept, 0)], pitch])[-_LEVELS:]
        self._level = np.concatenate([self._level, level_db(samples)])[-_LEVELS:]

    def _rest(self) -> None:
        self._running = False

    def _guess(self) -> tuple[Segmentation, ...]:
        """What is said in the last seconds, and in those to come as far as it is known."""
        found = self._source.guess() if self._running else ()
        rows = [self._plausible(s.phonemes) for s in found] or [()]
        weights = [s.weight for s in found] or [1.0]
        return tuple(Segmentation(self._filled(row), w) for row, w in zip(rows, weights, strict=True))

    def _plausible(self, phonemes: Sequence[Phoneme]) -> tuple[Phoneme, ...]:
        """The phonemes within sound that is louder than the noise around it."""
        begin = (self._heard - len(self._bands)) / _SECOND
        active = above_floor(self._bands, self._pitch)
        near = np.convolve(active, np.ones(2 * _HANGOVER + 1), mode="same") > 0
        spans = [(begin + a, begin + b) for a, b in spans_of(near)]
        return within([p for phoneme in phonemes for p in _not_held(phoneme)], spans)

    def _filled(self, phonemes: Sequence[Phoneme]) -> tuple[Phoneme, ...]:
        """The guess where nothing is known, what is known, and silence between."""
        rows = list(phonemes)
        for a, b in self._known_spans:
            rows = [part for p in rows for part in (*cut([p], p.start, a), *cut([p], b, p.end))]
        out: list[Phoneme] = []
        at = min(self._told, self._heard) / _SECOND
        for p in sorted([*rows, *self._known], key=lambda p: p.start):
            if p.start > at + 1e-6:
                out.append(Phoneme(SILENCE, at, p.start))
            if p.end > at + 1e-6:
                out.append(Phoneme(p.label, max(at, p.start), p.end))
            at = max(at, p.end)
        end = self._heard / _SECOND
        if end > at + 1e-6:
            out.append(Phoneme(SILENCE, at, end))
        return tuple(out)

    def _new_accents(self, loud: Float32, first: int) -> Float32:
        peaks = accents(loud)
        peaks[:, 0] += first / _SECOND
        until = (self._heard - _SETTLED_PEAK) / _SECOND
        new = peaks[(peaks[:, 0] >= self._accents_told) & (peaks[:, 0] < until)]
        self._accents_told = max(self._accents_told, until)
        return new

    def _forget(self) -> None:
        now = self._told / _SECOND
        self._known = [p for p in self._known if p.end > now]
        self._known_spans = [(a, b) for a, b in self._known_spans if b > now]


def _not_held(phoneme: Phoneme) -> tuple[Phoneme, ...]:
    """The phoneme, with silence after `_HELD` seconds of it."""
    if phoneme.label == SILENCE or phoneme.end - phoneme.start <= _HELD:
        return (phoneme,)
    turn = phoneme.start + _HELD
    return (Phoneme(phoneme.label, phoneme.start, turn), Phoneme(SILENCE, turn, phoneme.end))


def cut(phonemes: Sequence[Phoneme], start: float, end: float) -> tuple[Phoneme, ...]:
    """The parts of phonemes between two times."""
    parts = (Phoneme(p.label, max(p.start, start), min(p.end, end)) for p in phonemes)
    return tuple(p for p in parts if p.end - p.start > 1e-6)
