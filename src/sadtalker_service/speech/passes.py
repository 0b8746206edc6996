"""Single passes of pocketsphinx over a piece of sound.

This module imports little, because a child process (`word_alignment_process`) must be ready soon.
"""

from __future__ import annotations

from functools import cached_property
from threading import Lock

import numpy as np
import soxr
from numpy.typing import NDArray
from pocketsphinx import get_model_path

from sadtalker_service.domain import SPEECH_RATE
from sadtalker_service.speech.decoder import Decoder
from sadtalker_service.speech.phonemes import SILENCE, Phoneme

_HOP, _EDGE = 0.01, 0.0078
"""Analysis windows are 25.6 ms wide and 10 ms apart. Frame i is centred on 10 i + 12.8 ms and stands for the
10 ms around it."""

_SHORTEST = SPEECH_RATE // 2
"""Shorter pieces are padded with silence to this number of samples."""

_WORD_SEARCH: dict[str, float | bool] = {
    "ds": 2,  # new Gaussians every other frame
    "pl_window": 2,  # frames of the phone lookahead
    "maxhmmpf": 1000,
    "maxwpf": 5,
    "fwdflat": False,
    "bestpath": False,
}
"""A search that takes a sixth of the full one's time and gives equally good lip motion (docs/speech.md)."""
_PHONE_BEAM, _PHONE_END_BEAM, _PHONE_LM_WEIGHT = 1e-15, 1e-10, 2.0
"""With a beam of 1e-10 the loop sometimes stays in one phone for seconds."""

FULL_SCALE = 32767.0
"""Largest 16-bit sample."""

_WORDS, PHONES, _ALL_PHONES = "_default", "phones", "all_phones"

Samples = NDArray[np.float32]


class RecognitionPasses:
    """Passes that give equal phonemes for equal sound, whatever was processed before.

    The decoder of phones loads in hundredths of a second, that of words in a third of a second, when it is
    first needed. Safe to call from several threads, which take turns.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._phones = phone_decoder()
        noise = np.random.default_rng(0).standard_normal(SPEECH_RATE // 5).astype(np.float32)
        self._noise = _pcm(noise)

    def recognize_phones(self, samples: Samples, speed: float) -> list[Phoneme]:
        """The most likely phones, ignoring words, of the sound played `speed` times as slow."""
        played = samples if speed == 1.0 else soxr.resample(samples, SPEECH_RATE, SPEECH_RATE * speed)
        with self._lock:
            self._decode(self._phones, PHONES, _pcm(played))
            found = list(self._phones.segments())
        return timed_phonemes(found, 1.0 / speed, len(samples) / SPEECH_RATE)

    def recognize_words(self, samples: Samples) -> list[Phoneme] | None:
        """Phones of the most likely words in the sound, or None if none could be aligned."""
        pcm = _pcm(samples)
        with self._lock:
            decoder = self._words
            self._decode(decoder, _WORDS, pcm)
            if not decoder.has_words():
                return None
            try:
                decoder.align_words()
                _run(decoder, pcm)
            except RuntimeError:  # the search gave up before the end, so nothing is aligned
                return None
            found = list(decoder.aligned_phones())
        return timed_phonemes(found, 1.0, len(samples) / SPEECH_RATE)

    def load_words(self) -> None:
        """Load the decoder of words now."""
        self._words  # noqa: B018

    @cached_property
    def _words(self) -> Decoder:
        return _word_decoder()

    def _decode(self, decoder: Decoder, search: str, pcm: bytes) -> None:
        """Run a search from a known state.

        The decoder carries over the state of its front end and, in the acoustic model, the best Gaussians of
        the last frames. The front end is recreated. The Gaussians are overwritten by decoding noise with
        every phone active.
        """
        decoder.reinit_feat()
        decoder.activate_search(_ALL_PHONES)
        _run(decoder, self._noise)
        decoder.reinit_feat()
        decoder.activate_search(search)
        _run(decoder, pcm)


def _run(decoder: Decoder, pcm: bytes) -> None:
    decoder.start_utt()
    try:
        decoder.process_raw(pcm, full_utt=True)
    finally:
        decoder.end_utt()


def _word_decoder() -> Decoder:
    return _with_phone_loops(
        Decoder(
            hmm=get_model_path("en-us/en-us"),
            lm=get_model_path("en-us/en-us.lm.bin"),
            dict=get_model_path("en-us/cmudict-en-us.dict"),
            loglevel="FATAL",
            **_WORD_SEARCH,
        )
    )


def phone_decoder() -> Decoder:
    """Without the word model, which is most of what there is to load."""
    model = get_model_path("en-us/en-us")
    return _with_phone_loops(Decoder(hmm=model, loglevel="FATAL", **_WORD_SEARCH))


def _with_phone_loops(decoder: Decoder) -> Decoder:
    """Add two searches. Each takes its beams from the configuration at the time it is added."""
    model = get_model_path("en-us/en-us-phone.lm.bin")
    beams = {"beam": _PHONE_BEAM, "pbeam": _PHONE_END_BEAM}
    decoder.add_phone_loop(PHONES, model, lw=_PHONE_LM_WEIGHT, **beams)
    decoder.add_phone_loop(_ALL_PHONES, model, beam=0.0, pbeam=0.0)
    return decoder


def _pcm(samples: Samples) -> bytes:
    """16-bit samples with a peak of 0.8, padded if very short."""
    padded = np.pad(samples, (0, max(0, _SHORTEST - len(samples))))
    peak = float(np.max(np.abs(padded)))
    return pcm16(padded, 0.8 * FULL_SCALE / peak if peak > 0 else 1.0)


def pcm16(samples: Samples, factor: float) -> bytes:
    """16-bit samples. `FULL_SCALE` is the factor of those that keep their level."""
    scaled: NDArray[np.int16] = np.clip(samples * factor, -FULL_SCALE, FULL_SCALE).astype(np.int16)
    return scaled.tobytes()


def timed_phonemes(found: list[tuple[str, int, int]], stretch: float, seconds: float) -> list[Phoneme]:
    """Phonemes from (label, first frame, last frame + 1). Fillers such as [NOISE] or +SPN+ are pauses."""
    phonemes = []
    for name, first, last in found:
        if name.startswith("("):  # null transitions of the search
            continue
        start, end = (min((_EDGE + _HOP * frame) * stretch, seconds) for frame in (first, last))
        if end > start:
            phonemes.append(Phoneme(name if name.isalpha() else SILENCE, start, end))
    return phonemes
