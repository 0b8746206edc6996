"""Phonemes from pocketsphinx: one word pass and two phone-loop passes, averaged.

The models (US English acoustic model, phone and word language models, CMUdict) are part of its wheel. It maps
other languages to the nearest English sounds, which is good enough for lips.
"""

from __future__ import annotations

from threading import Lock

import numpy as np
import soxr
from numpy.typing import NDArray
from pocketsphinx import Decoder, get_model_path

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.speech.chunks import cut_at_pauses
from sadtalker_service.speech.phonemes import SILENCE, Phoneme, PhonemeTrack, Segmentation
from sadtalker_service.speech.word_aligner import WordAligner

SPEEDS = (1.0, 16 / 15)
"""The phone loop runs at the original speed and slower. Its mistakes differ between the passes, the correct
phones do not. A third, faster pass costs a sixth more time and changes nothing (docs/speech.md)."""
_WORD_WEIGHT = 0.5
"""Weight of the word pass relative to all phone-loop passes together."""

_HOP, _EDGE = 0.01, 0.0078
"""Analysis windows are 25.6 ms wide and 10 ms apart. Frame i is centred on 10 i + 12.8 ms and stands for the
10 ms around it."""

_SHORTEST = SPEECH_RATE // 2
"""Shorter pieces are padded with silence to this number of samples."""

_WORD_SEARCH: dict[str, object] = {
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

_WORDS, _PHONES, _ALL_PHONES = "_default", "phones", "all_phones"

Samples = NDArray[np.float32]


class PocketsphinxRecogniser:
    """A `PhonemeSource` on one pocketsphinx decoder. It loads in half a second and is reusable.

    Safe to call from several threads, which take turns. Equal recordings give equal phonemes, whatever was
    processed before.
    """

    def __init__(self) -> None:
        self._aligner: WordAligner | None = None
        self._lock = Lock()
        self._decoder = _load()
        noise = np.random.default_rng(0).standard_normal(SPEECH_RATE // 5).astype(np.float32)
        self._noise = _pcm(noise)

    def phonemes(self, speech: Speech) -> PhonemeTrack:
        """One segmentation per pass, the word pass first. Labels are ARPAbet or silence."""
        passes: list[list[Phoneme]] = [[] for _ in range(len(SPEEDS) + 1)]
        for first, last in cut_at_pauses(speech.samples):
            samples = speech.samples[first:last]
            begin = first / SPEECH_RATE
            loops, words = self._recognize(samples)
            for so_far, phones in zip(passes, (loops[0] if words is None else words, *loops), strict=True):
                so_far.extend(Phoneme(p.label, begin + p.start, begin + p.end) for p in phones)
        weights = [_WORD_WEIGHT] + [(1.0 - _WORD_WEIGHT) / len(SPEEDS)] * len(SPEEDS)
        return PhonemeTrack(
            tuple(Segmentation(tuple(p), weight) for p, weight in zip(passes, weights, strict=True))
        )

    def start_word_alignment_process(self) -> None:
        """Recognise words in a separate process from the second piece on.

        The result is the same, in less time.
        """
        self._aligner = self._aligner or WordAligner()

    def close(self) -> None:
        """End the word alignment process."""
        if self._aligner:
            self._aligner.close()

    def _recognize(self, samples: Samples) -> tuple[list[list[Phoneme]], list[Phoneme] | None]:
        """The phones at each speed, and the phones of words."""
        wait_for_reply = self._aligner.ask(samples) if self._aligner else None
        reply = None
        try:
            loops = [self.recognize_phones(samples, speed) for speed in SPEEDS]
        finally:
            if wait_for_reply:
                reply = wait_for_reply()
        return loops, self.recognize_words(samples) if reply is None else reply.words

    def recognize_phones(self, samples: Samples, speed: float) -> list[Phoneme]:
        """The most likely phones, ignoring words, of the sound played `speed` times as slow."""
        played = samples if speed == 1.0 else soxr.resample(samples, SPEECH_RATE, SPEECH_RATE * speed)
        with self._lock:
            self._decode(_PHONES, _pcm(played))
            found = [(s.word, s.start_frame, s.end_frame + 1) for s in self._decoder.seg() or ()]
        return _timed(found, 1.0 / speed, len(samples) / SPEECH_RATE)

    def recognize_words(self, samples: Samples) -> list[Phoneme] | None:
        """Phones of the most likely words in the sound, or None if none could be aligned."""
        pcm = _pcm(samples)
        with self._lock:
            self._decode(_WORDS, pcm)
            if not self._decoder.hyp():
                return None
            try:
                self._decoder.set_alignment()
                self._run(pcm)
            except RuntimeError:  # the search gave up before the end, so nothing is aligned
                return None
            phones = [phone for word in self._decoder.get_alignment() for phone in word]
            found = [(p.name, p.start, p.start + p.duration) for p in phones]
        return _timed(found, 1.0, len(samples) / SPEECH_RATE)

    def _decode(self, search: str, pcm: bytes) -> None:
        """Run a search from a known state.

        The decoder carries over the state of its front end and, in the acoustic model, the best Gaussians of
        the last frames. The front end is recreated. The Gaussians are overwritten by decoding noise with
        every phone active.
        """
        self._decoder.reinit_feat()
        self._decoder.activate_search(_ALL_PHONES)
        self._run(self._noise)
        self._decoder.reinit_feat()
        self._decoder.activate_search(search)
        self._run(pcm)

    def _run(self, pcm: bytes) -> None:
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(pcm, full_utt=True)
        finally:
            self._decoder.end_utt()


def _load() -> Decoder:
    """A decoder with three searches. Each takes its beams from the configuration at the time it is added."""
    decoder = Decoder(
        hmm=get_model_path("en-us/en-us"),
        lm=get_model_path("en-us/en-us.lm.bin"),
        dict=get_model_path("en-us/cmudict-en-us.dict"),
        loglevel="FATAL",
        **_WORD_SEARCH,
    )
    config = decoder.config
    phone_model = get_model_path("en-us/en-us-phone.lm.bin")
    config["lw"] = _PHONE_LM_WEIGHT
    config["beam"], config["pbeam"] = _PHONE_BEAM, _PHONE_END_BEAM
    decoder.add_allphone_file(_PHONES, phone_model)
    config["beam"], config["pbeam"] = 0.0, 0.0
    decoder.add_allphone_file(_ALL_PHONES, phone_model)
    return decoder


def _pcm(samples: Samples) -> bytes:
    """16-bit samples with a peak of 0.8, padded if very short."""
    padded = np.pad(samples, (0, max(0, _SHORTEST - len(samples))))
    peak = float(np.max(np.abs(padded)))
    scaled = padded * (0.8 * 32767.0 / peak) if peak > 0 else padded
    return scaled.astype(np.int16).tobytes()


def _timed(found: list[tuple[str, int, int]], stretch: float, seconds: float) -> list[Phoneme]:
    """Phonemes from (label, first frame, last frame + 1). Fillers such as [NOISE] or +SPN+ are pauses."""
    phonemes = []
    for name, first, last in found:
        if name.startswith("("):  # null transitions of the search
            continue
        start, end = (min((_EDGE + _HOP * frame) * stretch, seconds) for frame in (first, last))
        if end > start:
            phonemes.append(Phoneme(name if name.isalpha() else SILENCE, start, end))
    return phonemes
