"""Child process of `word_aligner`: reads samples from standard input, writes phonemes to standard output."""

from __future__ import annotations

import json
import os
import signal
import sys

import numpy as np

from sadtalker_service.speech.passes import RecognitionPasses
from sadtalker_service.speech.word_pipe import LENGTH

_TIMEOUT = 120.0
"""Seconds for a piece of at most twenty. A piece takes two even on a busy machine, so longer means a hang."""


def main() -> None:
    """Serve requests until standard input ends, which happens when the parent exits."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # library output is not a reply
    recogniser = RecognitionPasses()
    recogniser.load_words()
    while header := sys.stdin.buffer.read(LENGTH.size):
        (length,) = LENGTH.unpack(header)
        samples = np.frombuffer(sys.stdin.buffer.read(length), "<f4")
        # SIGALRM is not handled, so it ends the process even inside C code.
        signal.setitimer(signal.ITIMER_REAL, _TIMEOUT)
        words = recogniser.recognize_words(samples)
        signal.setitimer(signal.ITIMER_REAL, 0)
        found = None if words is None else [(p.label, p.start, p.end) for p in words]
        answers.write(json.dumps(found).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
