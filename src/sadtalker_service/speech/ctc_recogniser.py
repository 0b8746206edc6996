"""Phonemes of many languages from the small CTC network in the package `hama`.

The network (Apache-2.0, 5 MB, float16) gives log-probabilities of 189 IPA symbols, a word boundary and a
blank every 20 ms. It takes one thirtieth of the time of the other passes and makes other mistakes, so it
improves their mean (docs/speech.md). Its code is not used: only two of the data files are read.
"""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE
from sadtalker_service.environment import set_environment
from sadtalker_service.speech.phonemes import SILENCE, Phoneme

_NETWORK, _SYMBOLS = "hama/assets/asr_waveform_fp16.onnx", "hama/assets/g2p_vocab.json"
_FRAME = 0.02
_LATE = 0.05
"""Seconds by which the network's spikes are later than the phones, measured against tracked lips."""
_LAST = 0.12
"""Length of the last phone of a piece, seconds."""
_LONGEST = 0.25
"""Seconds. Only its beginning is known of a phone, so a longer one ends here if a gap follows."""
_GAP = 0.1
"""A shorter gap is part of the phone, seconds."""
_LEVEL = 0.7
"""Peak of what the network hears."""
_SHORTEST = SPEECH_RATE // 2
"""Shorter pieces are padded with silence to this number of samples."""
_MOST = 25 * SPEECH_RATE
"""Samples at a time. The network ignores what comes after 30 s."""

Samples = NDArray[np.float32]


class CtcRecogniser:
    """Loads in a twentieth of a second. Safe to call from several threads."""

    def __init__(self) -> None:
        """Raises `FileNotFoundError` where the package or its files are missing."""
        network, symbols = _file(_NETWORK), _file(_SYMBOLS)
        set_environment({"ORT_DISABLE_TELEMETRY": "1"})  # read when the library is loaded
        onnxruntime = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(network), options, providers=["CPUExecutionProvider"]
        )
        sounds = json.loads(symbols.read_text("utf-8"))["decoder"]
        self._labels = [s if any(c.isalpha() for c in s) and "<" not in s else None for s in sounds]
        self._labels += [None, None]  # word boundary, blank
        self._blank = len(self._labels) - 1

    def recognize(self, samples: Samples) -> list[Phoneme]:
        """Phones in IPA of float32 (n,) at 16 kHz, with silence where it hears none. Covers the piece."""
        phones: list[Phoneme] = []
        for first in range(0, max(1, len(samples)), _MOST):
            piece = samples[first : first + _MOST]
            begin, end = first / SPEECH_RATE, (first + len(piece)) / SPEECH_RATE
            phones += _without_gaps(self._heard(piece), begin, end)
        return phones

    def _heard(self, samples: Samples) -> list[tuple[str, float]]:
        """Each phone with the time of its beginning, seconds."""
        padded = np.pad(samples, (0, max(0, _SHORTEST - len(samples))))
        peak = float(np.abs(padded).max())
        if peak <= 0.0:
            return []
        feed = {
            "waveform": (padded * (_LEVEL / peak))[None],
            "waveform_lengths": np.array([len(padded)], np.int64),
        }
        scores = self._session.run(["log_probs"], feed)[0][0]
        likeliest = scores.argmax(axis=1)
        begins = np.flatnonzero(np.diff(likeliest, prepend=self._blank) != 0)
        heard = ((self._labels[likeliest[frame]], frame) for frame in begins.tolist())
        return [(label, max(0.0, frame * _FRAME - _LATE)) for label, frame in heard if label]


def _without_gaps(heard: list[tuple[str, float]], begin: float, end: float) -> list[Phoneme]:
    """The phones from `begin` to `end` seconds, where `heard` counts from `begin`."""
    starts = [min(begin + at, end) for _, at in heard]
    ends = [*starts[1:], min(starts[-1] + _LAST, end)] if starts else []
    found: list[Phoneme] = []
    at = begin
    for (label, _), start, stop in zip(heard, starts, ends, strict=True):
        if start > at:
            found.append(Phoneme(SILENCE, at, start))
        at = start + _LONGEST if stop - start > _LONGEST + _GAP else stop
        if at > start:
            found.append(Phoneme(label, start, at))
    if end > at:
        found.append(Phoneme(SILENCE, at, end))
    return found


def _file(name: str) -> Path:
    try:
        path = Path(str(distribution("hama").locate_file(name)))
    except PackageNotFoundError as error:
        raise FileNotFoundError("the package hama is not installed") from error
    if not path.is_file():
        raise FileNotFoundError(f"{name} is missing in the package hama")
    return path
