"""Where an independent recogniser hears the phonemes of a known text: the ruler for a voice's own times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from pocketsphinx import Decoder


@dataclass(frozen=True)
class Aligned:
    """A phoneme in ARPAbet, and its word; seconds."""

    label: str
    start: float
    end: float
    word: str


def aligned_phonemes(samples: NDArray[np.float32], rate: int, text: str) -> list[Aligned]:
    """Phonemes of `text`, words of CMU's dictionary in small letters, as they are heard in `samples`."""
    heard = soxr.resample(samples, rate, 16_000)
    pcm = (np.clip(heard, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
    decoder = Decoder(samprate=16_000, loglevel="FATAL", bestpath=False)
    decoder.set_align_text(text)
    for level in ("words", "phonemes"):
        if level == "phonemes":
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
    return [
        Aligned(phone.name, phone.start / 100, (phone.start + phone.duration) / 100, word.name)
        for word in decoder.get_alignment()
        for phone in word
    ]
