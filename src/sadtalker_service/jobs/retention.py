"""Limits the artefact store: removes files that are too old, and the oldest ones if there are too many."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import structlog

from sadtalker_service.errors import Conflict, NotFound
from sadtalker_service.jobs.video_service import VideoService
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import LANES
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.store.artefact_files import Entry
from sadtalker_service.store.artefact_store import ArtefactStore, source_image_name, speech_name, video_name
from sadtalker_service.telemetry import metrics

log = structlog.get_logger(__name__)

VIDEOS, SPEECH, SOURCE_IMAGES = "videos/", "speech/", "portraits/"


class Retention:
    """Removes files by their last use. Files of unfinished sessions are never removed."""

    def __init__(
        self,
        artefacts: ArtefactStore,
        sessions: SessionStore,
        video_service: VideoService,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` returns seconds since 1970."""
        self._artefacts = artefacts
        self._sessions = sessions
        self._video_service = video_service
        self._clock = clock
        self._max_bytes = settings.artefact_max_bytes
        self._lifetimes = {
            VIDEOS: settings.video_retention_seconds,
            SPEECH: settings.speech_retention_seconds,
            SOURCE_IMAGES: settings.portrait_retention_seconds,
        }

    def sweep(self) -> int:
        """Remove expired files. Above the limit on bytes, also remove the least recently used videos, and
        then driven audio files. Returns the number of removed files. Raises `StoreUnavailable`."""
        needed, now = set(self._needed()), self._clock()
        kept: dict[str, list[Entry]] = {}
        removed = 0
        for prefix, lifetime in self._lifetimes.items():
            kept[prefix] = []
            for entry in self._artefacts.entries(prefix):
                if entry.used_at < now - lifetime and entry.name not in needed:
                    removed += self._remove(entry, "age")
                else:
                    kept[prefix].append(entry)
        total = sum(entry.size for entries in kept.values() for entry in entries)
        for entry in (*_oldest_first(kept[VIDEOS]), *_oldest_first(kept[SPEECH])):
            if total <= self._max_bytes:
                break
            if entry.name not in needed:
                removed += self._remove(entry, "size")
                total -= entry.size
        return removed

    def _needed(self) -> Iterator[str]:
        """Names of the files of waiting and running sessions."""
        waiting = (session_id for lane in LANES for session_id in self._sessions.waiting(lane))
        for session_id in (*waiting, *self._sessions.running()):
            session = self._sessions.get(session_id)
            if session is None:
                continue
            spec = session.spec
            yield source_image_name(spec.image_id)
            yield video_name(session.result_key)
            files = (spec.audio_id, spec.ref_eyeblink_id, spec.ref_pose_id, spec.options.picture)
            yield from map(speech_name, filter(None, files))

    def _remove(self, entry: Entry, reason: str) -> int:
        kind, _, name = entry.name.partition("/")
        if entry.name.startswith(SOURCE_IMAGES):
            try:
                self._video_service.delete_avatar(name)
            except (NotFound, Conflict) as error:  # it is being deleted or uploaded again
                log.info("portrait_kept", image_id=name, reason=error.message)
                return 0
        else:
            if entry.name.startswith(VIDEOS):
                self._sessions.delete_video(name.removesuffix(".mp4"))
            self._artefacts.delete(entry.name)
        log.info("artefact_removed", name=entry.name, reason=reason, size_bytes=entry.size)
        metrics.artefact_removed(kind, reason)
        return 1


def _oldest_first(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.used_at)
