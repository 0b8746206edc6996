"""Articulation of recognised speech: articulator curves in millimetres, closures, pauses and accents.

`Articulator` takes the phonemes of one window of the recording after the other, and returns what no later
phoneme can change. Its memory is a few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from sadtalker_service.domain import Artefact, Speech
from sadtalker_service.speech.amplitude import AmplitudeRestorer
from sadtalker_service.speech.closing import (
    close_lips,
    closures_of,
    pauses_of,
    rest_in_pauses,
    rest_in_silence,
)
from sadtalker_service.speech.coarticulation import TICK_RATE, blended
from sadtalker_service.speech.loudness import accents, level_db, loudness
from sadtalker_service.speech.phonemes import Phoneme, PhonemeTrack, Segmentation, append
from sadtalker_service.speech.quiet import QuietStretches, united, within
from sadtalker_service.speech.visemes import ARTICULATORS, JAW, OPENING, VISEMES

__all__ = ["ARTICULATORS", "Articulation", "Articulator", "HeardWindow", "articulate", "joined"]

Float32 = NDArray[np.float32]

SETTLING = 35
"""Ticks. Later phonemes change no motion before this. It covers the reach of a viseme, the longest closure
and the time in which a mouth opens before speech."""
_MEMORY = 3.0
"""Seconds of phonemes that are kept before the first tick that is not settled."""
_SMOOTHED = 20
"""Ticks on both sides that the smoothing of the weights needs."""
_GATE_AFTER, _GATE_BEFORE = 200, 50
"""Ticks after and before speech in which loudness counts. Other sound moves nothing."""
_KNEE = 2.0
"""Below this opening, mm, the lips slow down and do not meet. Only closures close them."""
_WIDEST = 24.0
"""Largest opening, mm. The motion is compressed from two thirds of it upwards."""


@dataclass(frozen=True, eq=False)
class Articulation:
    """The motion of a mouth that speaks the driven audio, or a window of it.

    Row i is at (begin + i) / rate seconds of the audio. The lead of the lips over the sound is already
    applied. Times count from the beginning of the audio.
    """

    articulators: Float32
    """float32 (T, 8), columns as `ARTICULATORS`: millimetres (opening >= 0) and 0..1."""
    visemes: Float32
    """float32 (T, 15): shares of the visemes. Each row sums to 1."""
    closures: Float32
    """float32 (K, 3): kind, start, end in seconds. Kind 0 shuts the lips for p b m, and the opening is 0 from
    start to end. Kind 1 puts the lower lip under the teeth for f v. A video must show at least one frame of
    each."""
    loudness: Float32
    """float32 (T,), 0..1."""
    pauses: Float32
    """float32 (P, 2): start and end in seconds of stretches without speech. A pause that goes on in the next
    window ends with its own window, and begins with the next."""
    accents: Float32
    """float32 (A, 2): time in seconds and strength 0..1 of stressed syllables, for nods and brows. A window
    has those of the next 0.65 s too, because nods begin early, and not those of its first 0.65 s, which the
    window before had."""
    rate: int = TICK_RATE
    """Ticks per second."""
    begin: int = 0
    """Tick of the first row."""
    end: float | None = None
    """Length of the whole audio in seconds, from the last window on. None in windows before."""

    def to_artefact(self) -> Artefact:
        """Convert to an artefact with all arrays, the rate, and the place in the audio."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        record = {"rate": self.rate, "begin": self.begin, "end": self.end}
        return Artefact(MappingProxyType(arrays), MappingProxyType(record))

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> Articulation:
        """Restore the result of `to_artefact`.

        Raises:
            KeyError: an array or the rate is missing.
        """
        record = artefact.record
        return cls(
            **{name: artefact.arrays[name] for name in _ARRAYS},
            rate=int(record["rate"]),
            begin=int(record["begin"]),
            end=record["end"],
        )


_ARRAYS = ("articulators", "visemes", "closures", "loudness", "pauses", "accents")


@dataclass(frozen=True, eq=False)
class HeardWindow:
    """What was recognised in one window of the driven audio. Nothing later changes it."""

    track: PhonemeTrack
    """Phonemes from the end of the last window to the end of this one. Times count from the beginning of the
    audio."""
    loudness: Float32
    """float32 (n,) of the ticks of the window."""
    accents: Float32
    """float32 (A, 2) of the window and 0.3 s more, without those that the window before had."""
    end: float | None
    """Length of the audio in seconds if this is the last window."""
    ahead: PhonemeTrack | None = None
    """Phonemes after the window that may still change. With them the motion is returned up to the end of the
    window, and without them only what no later phoneme can change."""
    active: NDArray[np.bool_] | None = None
    """bool (n,) of the ticks of the window: where there may be a voice. None if that is not known."""

    @property
    def voice(self) -> Float32:
        """float32 (n,): the loudness where there may be a voice, and 0 elsewhere."""
        return self.loudness if self.active is None else self.loudness * self.active


def articulate(track: PhonemeTrack, speech: Speech) -> Articulation:
    """How a mouth speaks `track`. An empty track keeps it shut."""
    loud = loudness(level_db(speech.samples))
    return Articulator().push(HeardWindow(track, loud, accents(loud), speech.duration))


def joined(windows: Iterable[Articulation]) -> Articulation:
    """The articulation of the whole from all of its windows."""
    parts = list(windows)
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    starts, ends = arrays["pauses"].T
    first = np.concatenate([[True], starts[1:] > ends[:-1] + 1e-6])[: len(starts)]
    last = np.concatenate([first[1:], [True]])[: len(starts)]
    arrays["pauses"] = np.stack([starts[first], ends[last]], axis=1).astype(np.float32)
    return Articulation(**arrays, rate=parts[0].rate, begin=parts[0].begin, end=parts[-1].end)


class Articulator:
    """Turns phonemes into motion, window by window.

    Loudness does not open the mouth, because that made the match with real speakers worse (docs/speech.md).
    """

    def __init__(self) -> None:
        self._opinions: list[list[Phoneme]] = [[]]
        self._weights: tuple[float, ...] = (1.0,)
        self._memory_from = 0.0
        self._settled = 0
        """Tick up to which everything was returned."""
        self._restorer = AmplitudeRestorer()
        self._loudness = np.zeros(0, np.float32)
        """From tick `_settled` on."""
        self._spoken = np.zeros(0, np.bool_)
        """Whether there was speech in the last ticks before `_settled`."""
        self._closures = np.zeros((0, 3), np.float32)
        """Those of the last windows."""
        self._quiet = QuietStretches()

    def push(self, heard: HeardWindow) -> Articulation:
        """The motion that follows and is settled. It may have no rows."""
        self._remember(heard)
        begin = self._settled
        known, stop = self._reach(heard)
        until = known / TICK_RATE if heard.end is None else heard.end
        track = self._track(heard.ahead)
        first = max(0, begin - _SMOOTHED)
        opinions = [blended(s, known - first, first) for s in track.segmentations]
        visemes = _average([weights for weights, _ in opinions], self._shares)
        here = slice(begin - first, stop - first)
        spoken = 1.0 - visemes[here, VISEMES.index("sil")]
        motion = self._restorer.restored(spoken, [moves[here] for _, moves in opinions], self._shares)
        motion[:, OPENING] = _within_reach(motion[:, OPENING])
        new, all_near = self._closures_until(track, begin, stop, last=heard.end is not None)
        quiet = self._quiet.until(heard.voice, until, until - _MEMORY)
        pauses = united(pauses_of(track, until, self._memory_from), quiet)
        close_lips(motion, all_near, begin)
        rest_in_pauses(motion, pauses, until, begin, self._memory_from)
        rest_in_silence(motion, quiet, until, begin)
        motion[:, JAW] = np.minimum(motion[:, JAW], 0.9 * motion[:, OPENING])
        gate = self._gate(visemes[begin - first :], stop - begin)
        window = Articulation(
            motion,
            visemes[here],
            new,
            self._loudness[: stop - begin] * gate[: stop - begin],
            within(pauses, begin / TICK_RATE, stop / TICK_RATE if heard.end is None else until),
            _gated(heard.accents, gate, begin),
            begin=begin,
            end=heard.end,
        )
        self._forget(stop)
        return window

    @property
    def _shares(self) -> Float32:
        weights = np.array(self._weights, np.float32)
        return np.asarray(weights / weights.sum(), np.float32)

    def _remember(self, heard: HeardWindow) -> None:
        new = heard.track.segmentations
        if len(new) > len(self._opinions):  # so far all were alike, or there was silence
            copies = [list(self._opinions[-1]) for _ in range(len(new) - len(self._opinions))]
            self._opinions += copies
        if new and len(new) >= len(self._weights):
            self._weights = tuple(s.weight for s in new)
        for i, so_far in enumerate(self._opinions if new else ()):
            append(so_far, new[min(i, len(new) - 1)].phonemes)
        self._loudness = np.concatenate([self._loudness, heard.loudness])

    def _reach(self, heard: HeardWindow) -> tuple[int, int]:
        """Tick up to which phonemes are known, and that up to which motion is returned."""
        known = self._settled + len(self._loudness)
        if heard.ahead is not None:
            return known + round(max(_length(s) for s in heard.ahead.segmentations) * TICK_RATE), known
        return known, known if heard.end is not None else max(self._settled, known - SETTLING)

    def _track(self, ahead: PhonemeTrack | None) -> PhonemeTrack:
        opinions = [list(phonemes) for phonemes in self._opinions]
        for i, phonemes in enumerate(opinions if ahead else ()):
            later = ahead.segmentations if ahead else ()
            append(phonemes, later[min(i, len(later) - 1)].phonemes)
        pairs = zip(opinions, self._weights, strict=True)
        return PhonemeTrack(tuple(Segmentation(tuple(phonemes), weight) for phonemes, weight in pairs))

    def _closures_until(
        self, track: PhonemeTrack, begin: int, stop: int, *, last: bool
    ) -> tuple[Float32, Float32]:
        """Closures with their middle before tick `stop` that were not returned yet, and all that reach into
        the motion before it."""
        rows = closures_of(track)
        middles = (rows[:, 1] + rows[:, 2]) / 2
        wanted = np.full(len(rows), begin == 0) | (middles >= begin / TICK_RATE)
        for kind, _, end in self._closures:  # a sound that went on was longer than it seemed
            wanted &= (rows[:, 0] != kind) | (rows[:, 1] > end)
        coming = wanted & (middles >= stop / TICK_RATE) & (not last)
        new = rows[wanted & ~coming]
        recent = self._closures[self._closures[:, 2] > begin / TICK_RATE - 0.5]
        self._closures = np.concatenate([recent, new])
        return new, np.concatenate([self._closures, rows[coming]])

    def _gate(self, visemes: Float32, settled: int) -> Float32:
        """float32: 1 where speech is near, for every known tick from `_settled` on."""
        spoken = visemes[:, VISEMES.index("sil")] < 0.5
        flags = np.concatenate([self._spoken, spoken]).astype(np.float32)
        size = _GATE_AFTER + _GATE_BEFORE + 1
        near = maximum_filter1d(flags, size, mode="constant", origin=size // 2 - _GATE_BEFORE)
        gate: Float32 = near[len(self._spoken) :]
        self._spoken = flags[: len(self._spoken) + settled][-_GATE_AFTER:] > 0
        return gate

    def _forget(self, stop: int) -> None:
        self._loudness = self._loudness[stop - self._settled :]
        self._settled = stop
        before = stop / TICK_RATE - _MEMORY
        if before > 0:
            self._opinions = [[p for p in so_far if p.end > before] for so_far in self._opinions]
            self._memory_from = before


def _length(segmentation: Segmentation) -> float:
    """Seconds from the first to the last phoneme."""
    phonemes = segmentation.phonemes
    return phonemes[-1].end - phonemes[0].start if phonemes else 0.0


def _average(opinions: Sequence[Float32], shares: Float32) -> Float32:
    mean = np.zeros_like(opinions[0])
    for opinion, share in zip(opinions, shares, strict=True):
        mean += share * opinion
    return mean


def _gated(accents: Float32, gate: Float32, begin: int) -> Float32:
    """The accents near speech."""
    ticks = np.clip(np.round(accents[:, 0] * TICK_RATE).astype(int) - begin, 0, max(0, len(gate) - 1))
    return accents[gate[ticks] > 0] if len(gate) else accents[:0]


def _within_reach(opening: Float32) -> Float32:
    """Limit the opening in mm to between 0 and `_WIDEST`, without a corner in the curve."""
    low = _KNEE * np.exp(np.minimum(opening - _KNEE, 0.0) / _KNEE)
    soft = np.where(opening < _KNEE, low, opening)
    start = _WIDEST * 2 / 3
    room = _WIDEST - start
    over = np.maximum(soft - start, 0.0)
    return np.asarray(np.minimum(soft, start) + room * np.tanh(over / room), np.float32)
