"""Uploaded files, read from the artefact store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sadtalker_service.domain import LazySourceImage, LazySpeech, SourceImage, Speech, SpeechFile, Uint8Image
from sadtalker_service.errors import NotFound
from sadtalker_service.pipeline.cached import CacheTerms
from sadtalker_service.pipeline.decoded_speech import find_decoded
from sadtalker_service.pipeline.from_files import read_speech
from sadtalker_service.pipeline.references import ReferenceVideo, ReferenceVideos
from sadtalker_service.pipeline.sources import read_backdrop, read_source_image
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import VideoSpec
from sadtalker_service.store.artefact_store import ArtefactStore, source_image_name, speech_name
from sadtalker_service.store.cache import ArtefactCache


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
def original_speech(
    artefacts: ArtefactStore, cache: ArtefactCache, spec: VideoSpec, settings: Settings
) -> Iterator[LazySpeech | None]:
    """Context manager with the driven audio, None for an idle video; its file exists while it is open.

    The audio is decoded when it is opened, unless the cache has its samples. Raises `NotFound` if the file
    was removed; opening the audio raises the errors of decoding.
    """
    if spec.audio_id is None:
        yield None
        return
    audio_id, reading = spec.audio_id, spec.audio_reading
    with _local(artefacts, speech_name(audio_id), "driven audio") as path:

        def load() -> Speech | SpeechFile:
            kept = find_decoded(cache, audio_id, path, reading)
            return kept or read_speech(path, settings, spec.options.audio_track, audio_id, reading)

        yield LazySpeech(audio_id, spec.audio_seconds, path, load, reading)


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
            raise NotFound(f"The {what} is not kept any more. Upload it again.") from error
        yield path
