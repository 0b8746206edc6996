"""Phonemes from pocketsphinx, one word pass and two phone-loop passes, and from a CTC network.

The models (US English acoustic model, phone and word language models, CMUdict) are part of its wheel. It maps
other languages to the nearest English sounds, which is good enough for lips. The network knows the sounds of
more languages.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Speech
from sadtalker_service.speech.chunks import cut_at_pauses
from sadtalker_service.speech.ctc_recogniser import CtcRecogniser
from sadtalker_service.speech.passes import RecognitionPasses
from sadtalker_service.speech.phonemes import Phoneme, PhonemeTrack, Segmentation
from sadtalker_service.speech.word_aligner import WordAligner

SPEEDS = (1.0, 16 / 15)
"""The phone loop runs at the original speed and slower. Its mistakes differ between the passes, the correct
phones do not. A third, faster pass costs a sixth more time and changes nothing (docs/speech.md)."""
_THIRD = 1 / 3
"""Weight of the word pass, of the phone-loop passes together, and of the network."""

_log = logging.getLogger(__name__)

_KINDS = (
    Segmentation((), _THIRD),
    *(Segmentation((), _THIRD / len(SPEEDS)) for _ in SPEEDS),
    Segmentation((), _THIRD, sparse=True),
)

Samples = NDArray[np.float32]


class PocketsphinxRecogniser(RecognitionPasses):
    """A `PhonemeSource` on pocketsphinx. It is reusable.

    The decoder of phones loads in hundredths of a second, that of words in a third of a second, when it is
    first needed. It is not needed while another process recognises the words.

    Safe to call from several threads, which take turns. Equal recordings give equal phonemes, whatever was
    processed before.
    """

    def __init__(self, aligner: WordAligner | None = None) -> None:
        """`aligner`: for `start_word_alignment_process`. By default a new one."""
        super().__init__()
        self._aligner: WordAligner | None = None
        self._new_aligner = aligner
        self._network = _network()

    def phonemes(self, speech: Speech) -> PhonemeTrack:
        """One segmentation per pass, the word pass first. Labels are ARPAbet or silence.

        The network's comes last, is sparse, and has labels in IPA.
        """
        kinds = _KINDS if self._network else _KINDS[:-1]
        passes: list[list[Phoneme]] = [[] for _ in kinds]
        for first, last in cut_at_pauses(speech.samples):
            samples = speech.samples[first:last]
            begin = first / SPEECH_RATE
            loops, words = self._recognize(samples)
            found = [loops[0] if words is None else words, *loops]
            if self._network:
                found.append(self._network.recognize(samples))
            for so_far, phones in zip(passes, found, strict=True):
                so_far.extend(Phoneme(p.label, begin + p.start, begin + p.end) for p in phones)
        return PhonemeTrack(
            tuple(replace(kind, phonemes=tuple(row)) for kind, row in zip(kinds, passes, strict=True))
        )

    def start_word_alignment_process(self, *, now: bool = False) -> None:
        """Recognise words in a separate process, which starts with the first piece, or `now`.

        The result is the same, in less time.
        """
        self._aligner = self._aligner or self._new_aligner or WordAligner()
        if now:
            self._aligner.start()

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


def _network() -> CtcRecogniser | None:
    try:
        return CtcRecogniser()
    except (ImportError, FileNotFoundError) as error:
        _log.warning("ctc_recogniser_missing, lips follow the other passes: %s", error)
        return None
