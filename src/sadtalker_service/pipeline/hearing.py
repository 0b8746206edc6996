"""The speech features of driven audio, window by window, and what was noticed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Artefact, DrivenAudio, Speech
from sadtalker_service.engines.port import Engine
from sadtalker_service.errors import EmptyAudio
from sadtalker_service.media.stopwatch import Clock, Stopwatch, measured
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.ahead import taken_ahead
from sadtalker_service.pipeline.cached import CachedComputation, WindowsLog
from sadtalker_service.store.keys import speech_features_key


@dataclass(frozen=True, eq=False)
class Hearing:
    """Speech features on their way."""

    windows: Iterator[Artefact]
    """From the cache, or as they are heard."""
    known: WindowsLog
    """What was said when they were heard. Complete after the last one."""
    watch: Stopwatch
    """Has the seconds of `speech_features`."""
    computation: CachedComputation


def hear(
    engine: Engine,
    speech: DrivenAudio,
    options: RenderOptions,
    computation: CachedComputation,
    clock: Clock,
) -> Hearing:
    """The windows of `speech`. Taking them raises `EmptyAudio`, and what decoding raises."""
    track = speech.reading.track if speech.reading else 0
    key = speech_features_key(speech.audio_hash, engine.name, engine.version, track)
    known, watch = WindowsLog(), Stopwatch(clock)

    def heard() -> Iterator[Artefact]:
        timeline = speech.timeline if isinstance(speech, Speech) else None
        yield from engine.extract_speech_features(_long_enough(speech, options), timeline)
        known.warnings = speech.opened.warnings

    windows = computation.windows("motion", key, "week", heard, known)
    return Hearing(measured(windows, watch, "speech_features"), known, watch, computation)


@contextmanager
def begun(hearing: Hearing) -> Iterator[Hearing]:
    """Hear the first window now, in another thread. At the end of the context nothing more is heard."""
    with taken_ahead(hearing.windows) as windows:
        yield replace(hearing, windows=windows)


def _long_enough(speech: DrivenAudio, options: RenderOptions) -> Iterator[NDArray[np.float32]]:
    """The pieces of the driven audio. Raises `EmptyAudio` at its end if it is shorter than a frame."""
    samples = 0
    for piece in speech.pieces():
        samples += len(piece)
        yield piece
    refuse_shorter(samples / SPEECH_RATE, options)


def refuse_shorter(seconds: float, options: RenderOptions) -> None:
    """Raise `EmptyAudio` if driven audio is shorter than one frame."""
    if seconds * options.fps < 1:
        raise EmptyAudio(
            f"The driven audio is {seconds * 1000:.0f} ms long, shorter than one frame.", param="driven_audio"
        )
