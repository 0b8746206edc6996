"""What a session's avatar speaks: the recording out of the store, or a text that a voice speaks here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sadtalker_service.domain import LazySpeech, Speech
from sadtalker_service.pipeline.cached import CachedComputation, CacheTerms
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.pipeline.spoken import speak_text
from sadtalker_service.pipeline.transcripts import with_transcript
from sadtalker_service.state.records import Session
from sadtalker_service.worker.context import WorkerContext
from sadtalker_service.worker.originals import original_speech

STAGE = "voice"
"""Name of the stage in which a text is spoken."""


@dataclass
class DrivenAudio:
    """What is spoken, and what speaking it took."""

    speech: Speech | LazySpeech | None
    """None for an idle video."""
    seconds: dict[str, float] = field(default_factory=dict)
    """`voice` -> seconds, for a text."""


@contextmanager
def driven_audio(
    context: WorkerContext, session: Session, terms: CacheTerms, reporter: Reporter
) -> Iterator[DrivenAudio]:
    """Context manager with the driven audio; its file exists while it is open.

    Raises `NotFound` for a recording that was removed, what speaking a text raises, and `Cancelled`.
    """
    spec = session.spec
    if spec.spoken is None:
        with original_speech(context.artefacts, context.cache, spec, context.settings) as recording:
            yield _with_words(recording, spec.transcript, CachedComputation(context.cache, terms))
        return
    file = context.scratch / f"{session.session_id}.wav"
    start = time.perf_counter()
    reporter.stage(STAGE)
    computation = CachedComputation(context.cache, terms)
    try:
        speech = speak_text(spec.spoken, file, computation, reporter.check, context.settings.voice_threads)
        yield DrivenAudio(speech, {STAGE: time.perf_counter() - start})
    finally:
        file.unlink(missing_ok=True)


def _with_words(recording: LazySpeech | None, transcript: str, computation: CachedComputation) -> DrivenAudio:
    """The recording, with the times of the words of its transcript if there is one."""
    if recording is None or not transcript:
        return DrivenAudio(recording)
    start = time.perf_counter()
    speech = with_transcript(recording.opened, transcript, computation)
    return DrivenAudio(speech, {"alignment": time.perf_counter() - start})
