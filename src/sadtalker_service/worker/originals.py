"""The inputs of a job: uploaded files from the artefact store, and texts that a voice speaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sadtalker_service.domain import (
    DrivenAudio,
    LazySourceImage,
    LazySpeech,
    SourceImage,
    Speech,
    SpeechFile,
    Uint8Image,
)
from sadtalker_service.errors import NotFound
from sadtalker_service.media.audio import open_speech
from sadtalker_service.media.stopwatch import Stopwatch
from sadtalker_service.pipeline.cached import CacheTerms
from sadtalker_service.pipeline.decoded_speech import find_decoded
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.pipeline.references import ReferenceVideo, ReferenceVideos
from sadtalker_service.pipeline.sources import read_backdrop, read_source_image
from sadtalker_service.pipeline.spoken import speak_text
from sadtalker_service.pipeline.transcripts import with_words
from sadtalker_service.settings import Settings
from sadtalker_service.speech.captions.recogniser import obstacle
from sadtalker_service.state.records import Session, VideoSpec
from sadtalker_service.store.artefact_store import ArtefactStore, source_image_name, speech_name
from sadtalker_service.store.cache import ArtefactCache
from sadtalker_service.worker.context import WorkerContext


def original_image(
    artefacts: ArtefactStore, image_id: str, settings: Settings, cache: ArtefactCache, terms: CacheTerms
) -> LazySourceImage:
    """Return the source image, fetched and decoded when it is opened.

    Opening raises `NotFound` if it was removed, and the errors of `read_source_image`. `terms` apply to the
    lookup of the chosen frame of an animation or a video in `cache`.
    """

    def load() -> SourceImage:
        with _local(artefacts, source_image_name(image_id), "source image") as path:
            return read_source_image(path, settings, image_id, cache=cache, terms=terms)

    return LazySourceImage(image_id, load)


@contextmanager
def driven_audio(
    context: WorkerContext, session: Session, pipeline: Pipeline, watch: Stopwatch
) -> Iterator[DrivenAudio | None]:
    """Context manager with the driven audio of a session, None for an idle video. Its file exists while it
    is open. `watch` measures the voice that speaks a text, and the search for the words of an upload.

    An upload is decoded when it is opened, unless the cache has its samples. Raises `NotFound` if it was
    removed, what speaking a text and finding words raise, and `Cancelled`. Opening the upload raises the
    errors of decoding.
    """
    spec, settings, reporter = session.spec, context.settings, pipeline.reporter
    computation, threads = pipeline.computation(), settings.voice_threads
    if spec.spoken:
        file = context.scratch / f"{session.session_id}.wav"
        reporter.stage("voice")
        try:
            with watch("voice"):
                spoken = speak_text(spec.spoken, file, computation, reporter.check, threads)
            yield spoken
        finally:
            file.unlink(missing_ok=True)
        return
    if spec.audio_id is None:
        yield None
        return
    audio_id, reading = spec.audio_id, spec.audio_reading
    with _local(context.artefacts, speech_name(audio_id), "driven audio") as path:

        def load() -> Speech | SpeechFile:
            return find_decoded(context.cache, audio_id, path, reading) or open_speech(
                path,
                max_bytes=settings.max_audio_bytes,
                max_seconds=settings.max_audio_seconds,
                audio_track=spec.options.audio_track,
                audio_hash=audio_id,
                reading=reading,
            )

        recording = LazySpeech(audio_id, spec.audio_seconds, path, load, reading)
        if not (spec.transcript or (spec.options.captions and not obstacle())):
            yield recording
            return
        reporter.stage("alignment")
        with watch("alignment"):
            timed = with_words(recording.opened, spec.transcript, computation, reporter.check, threads)
        yield timed


@contextmanager
def original_references(artefacts: ArtefactStore, spec: VideoSpec) -> Iterator[ReferenceVideos]:
    """Context manager with the reference videos of a spec; their files exist while it is open.

    Raises `NotFound` if one was removed.
    """
    with ExitStack() as stack:

        def video(video_id: str | None) -> ReferenceVideo | None:
            if video_id is None:
                return None
            name = speech_name(video_id)
            return ReferenceVideo(video_id, stack.enter_context(_local(artefacts, name, "reference video")))

        yield ReferenceVideos(video(spec.ref_eyeblink_id), video(spec.ref_pose_id))


def original_backdrop(artefacts: ArtefactStore, spec: VideoSpec, settings: Settings) -> Uint8Image | None:
    """The picture behind the person, if there is one. Raises `NotFound`, `UnreadableImage`."""
    picture = spec.options.picture
    if picture is None:
        return None
    with _local(artefacts, speech_name(picture), "picture of the background") as path:
        return read_backdrop(path, settings, picture).pixels


@contextmanager
def _local(artefacts: ArtefactStore, name: str, what: str) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            path = stack.enter_context(artefacts.local(name))
        except FileNotFoundError as error:
            raise NotFound(f"The {what} has been removed. Upload it again.") from error
        yield path
