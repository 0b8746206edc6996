"""What a session's avatar speaks: the recording out of the store, or a text that a voice speaks here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sadtalker_service.domain import LazySpeech, Speech, SpeechFile
from sadtalker_service.pipeline.cached import CachedComputation, CacheTerms
from sadtalker_service.pipeline.progress import Reporter
from sadtalker_service.pipeline.spoken import speak_text
from sadtalker_service.pipeline.transcripts import with_recognised_words, with_transcript
from sadtalker_service.speech.captions.recogniser import obstacle
from sadtalker_service.state.records import Session, VideoSpec
from sadtalker_service.worker.context import WorkerContext
from sadtalker_service.worker.originals import original_speech

STAGE = "voice"
"""Name of the stage in which a text is spoken."""
WORDS = "alignment"
"""Name of the stage in which the words of a recording get their times."""


@dataclass
class DrivenAudio:
    """What is spoken, and what speaking it took."""

    speech: Speech | SpeechFile | LazySpeech | None
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
            computation = CachedComputation(context.cache, terms)
            yield _with_words(recording, spec, computation, context.settings.voice_threads, reporter)
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


def _with_words(
    recording: LazySpeech | None,
    spec: VideoSpec,
    computation: CachedComputation,
    threads: int,
    reporter: Reporter,
) -> DrivenAudio:
    """The recording, with the times of its words if there is a transcript or captions are wanted."""
    if recording is None or not (spec.transcript or spec.options.captions):
        return DrivenAudio(recording)
    start = time.perf_counter()
    if spec.transcript:
        speech: Speech | SpeechFile = with_transcript(recording.opened, spec.transcript, computation)
    elif obstacle():
        return DrivenAudio(recording)
    else:
        reporter.stage(WORDS)
        speech = with_recognised_words(recording.opened, computation, threads, reporter.check)
    return DrivenAudio(speech, {WORDS: time.perf_counter() - start})
