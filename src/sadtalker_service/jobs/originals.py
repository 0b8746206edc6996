"""Originals as they were uploaded, out of the artefact store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sadtalker_service.domain import Portrait, Speech
from sadtalker_service.errors import NotFound
from sadtalker_service.jobs.records import Wish
from sadtalker_service.pipeline.cached import CacheTerms
from sadtalker_service.pipeline.from_files import read_speech
from sadtalker_service.pipeline.references import ReferenceVideo, ReferenceVideos
from sadtalker_service.pipeline.sources import read_portrait
from sadtalker_service.settings import Settings
from sadtalker_service.store.artefact_store import ArtefactStore, portrait_name, speech_name
from sadtalker_service.store.cache import ArtefactCache


def read_original_portrait(
    artefacts: ArtefactStore,
    image_id: str,
    settings: Settings,
    cache: ArtefactCache,
    terms: CacheTerms,
    face_index: int = 0,
) -> Portrait:
    """The portrait. Raises `NotFound` where it was removed, and what `read_portrait` raises."""
    with _local(artefacts, portrait_name(image_id), "picture") as path:
        return read_portrait(path, settings, cache, face_index=face_index, terms=terms)


@contextmanager
def original_speech(artefacts: ArtefactStore, audio_id: str, settings: Settings) -> Iterator[Speech]:
    """A block with the recording; its file is there as long as the block runs.

    Raises `NotFound` where it was removed, and what decoding raises.
    """
    with _local(artefacts, speech_name(audio_id), "recording") as path:
        yield read_speech(path, settings)


@contextmanager
def original_references(artefacts: ArtefactStore, wish: Wish) -> Iterator[ReferenceVideos]:
    """A block with the reference videos of a wish; their files are there as long as the block runs.

    Raises `NotFound` where one was removed.
    """
    with ExitStack() as stack:

        def video(video_id: str | None) -> ReferenceVideo | None:
            if video_id is None:
                return None
            name = speech_name(video_id)
            return ReferenceVideo(video_id, stack.enter_context(_local(artefacts, name, "reference video")))

        yield ReferenceVideos(video(wish.ref_eyeblink_id), video(wish.ref_pose_id))


@contextmanager
def _local(artefacts: ArtefactStore, name: str, what: str) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            path = stack.enter_context(artefacts.local(name))
        except FileNotFoundError as error:
            raise NotFound(f"The {what} is not kept any more. Upload it again.") from error
        yield path
