"""The use cases of the API: accept requests, cancel sessions, delete avatars."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path

import structlog

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.engines.port import EngineCard
from sadtalker_service.errors import EngineUnavailable, NotFound
from sadtalker_service.jobs.deletion import AvatarDeletion, no_avatar
from sadtalker_service.jobs.dispatch import Dispatch, send_waiting
from sadtalker_service.jobs.summaries import AvatarCache, ImageSummary, summary_of
from sadtalker_service.jobs.video_request import VideoRequest
from sadtalker_service.media.inspection import ImageFacts
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.height import height_remark
from sadtalker_service.pipeline.validation import apply_to_engine
from sadtalker_service.state.avatar_fields import check_face
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.failures import error_of
from sadtalker_service.state.records import AvatarRecord, Session, VideoSpec, slot_of
from sadtalker_service.state.registry import EngineRegistry
from sadtalker_service.state.result_key import result_key
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.statistics import Statistics
from sadtalker_service.state.viewer import UNRESTRICTED, Viewer
from sadtalker_service.store.artefact_store import ArtefactStore, source_image_name, speech_name, video_name
from sadtalker_service.store.cache import CacheUnavailable
from sadtalker_service.store.keys import avatar_keys

log = structlog.get_logger(__name__)

_RENEWAL_SECONDS = 10.0
"""Shortest time between preparations for lost previews of one source image."""


def _random_id() -> str:
    return str(uuid.uuid4())


class VideoService:
    """Accepts requests. Every method raises `StoreUnavailable` if the queue server does not answer."""

    def __init__(
        self,
        *,
        sessions: SessionStore,
        avatars: AvatarStore,
        engines: EngineRegistry,
        statistics: Statistics,
        artefacts: ArtefactStore,
        cache: AvatarCache,
        dispatch: Dispatch,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = _random_id,
    ) -> None:
        """`clock` returns seconds since 1970; `new_id` returns unguessable ids of sessions."""
        self._sessions = sessions
        self._avatars = avatars
        self._engines = engines
        self._statistics = statistics
        self._artefacts = artefacts
        self._cache = cache
        self._dispatch = dispatch
        self._clock = clock
        self._new_id = new_id
        self._deletion = AvatarDeletion(sessions, avatars, artefacts, cache)

    def upload(
        self,
        path: Path,
        image_id: str,
        mode: PreprocessMode,
        facts: ImageFacts,
        viewer: Viewer = UNRESTRICTED,
        *,
        face_index: int = 0,
    ) -> tuple[AvatarRecord, bool]:
        """Store the source image in `path`, whose SHA-256 is `image_id`, and prepare its avatar.

        Returns the avatar, and whether it was known already (`ready` or in preparation). A ready one is
        prepared again if the cache has lost some of its artefacts. Raises `OutputError` if it cannot be
        stored, `InvalidOption` if it is known to have fewer faces.
        """
        check_face(self._avatars.modes(image_id), face_index)
        now = self._clock()
        record = AvatarRecord(
            image_id=image_id,
            mode=mode,
            state="processing",
            uploaded_at=now,
            changed_at=now,
            width=facts.width,
            height=facts.height,
            size_bytes=path.stat().st_size,
            media_type=facts.media_type,
            face_index=face_index,
        )
        with self._avatars.alone(image_id):
            self._artefacts.put_file(path, source_image_name(image_id))
            known, is_new = self._avatars.add(record, viewer.owner)
        if is_new:
            self._dispatch.prepare(image_id, mode, face_index)
        elif known.state == "ready" and self._has_lost(known):
            known = self._prepare_again(known, viewer)
        return known, not is_new

    def renew_previews(self, image_id: str, face_index: int = 0) -> None:
        """Prepare a ready avatar again if the cache has lost its mouth shapes, gestures or cropped face."""
        known = [record for record in self._avatars.modes(image_id) if record.face_index == face_index]
        ready = [record for record in known if record.state == "ready"]
        if ready and self._avatars.once_in(image_id, _RENEWAL_SECONDS):
            self._dispatch.prepare(image_id, ready[0].mode, ready[0].face_index)

    def generate(
        self, request: VideoRequest, viewer: Viewer = UNRESTRICTED, session_id: str | None = None
    ) -> Session:
        """Accept a request, for the owner of its source image. It is ready at once if its video exists.

        `session_id`: id for the session if one was chosen already (`IdempotencyKeys`). If a session with that
        id was accepted before, it is returned in its current state.

        Raises `NotFound` for an unknown source image, the error of its failed preparation,
        `InvalidOption`, `UnsupportedByEngine`, `EngineUnavailable`, `LaneFull`, `OutputError`.
        """
        start = self._clock() if request.received_at is None else request.received_at
        avatar, owner = self._source_image(request, viewer)
        options = request.options
        is_same = avatar.slot == slot_of(options.preprocess, options.face_index)
        spec, warnings = self._spec(request, (avatar.width, avatar.height))
        session = Session(
            session_id=session_id or self._new_id(),
            lane=request.lane,
            spec=spec,
            result_key=result_key(spec),
            queued_at=start,
            warnings=(*request.warnings, *warnings, *(avatar.warnings if is_same else ())),
            settings=request.settings,
            callback_url=request.callback_url,
            user_data=request.user_data,
            request_id=request.request_id,
            owner=owner,
        )
        known_video = self._has_video(session.result_key)
        if not known_video:
            self._sessions.check_room(request.lane, session.result_key)  # a refused request stores no files
            self._keep_files(request)  # before a worker can begin it
        accepted = self._sessions.accept(session)
        if accepted.state == "ready":
            self._artefacts.touch(source_image_name(request.image_id))
            self._statistics.answered_again(request.lane, max(0.0, self._clock() - start), accepted.outcome)
            return accepted
        if known_video:  # and removed at this very moment
            self._keep_files(request)
        if not is_same:
            self._add_slot(avatar, options, owner)
        if accepted.state == "queued" and accepted.leader is None:
            self._dispatch.generate(accepted)
        return accepted

    def cancel(self, session_id: str) -> Session:
        """Cancel a session; see `SessionStore.cancel`. Raises `NotFound`."""
        session = self._sessions.cancel(session_id)
        if session is None:
            raise NotFound(
                "There is no such session. Sessions are deleted some time after they end.", param="session_id"
            )
        send_waiting(self._sessions, self._dispatch)
        return session

    def delete_avatar(self, image_id: str, viewer: Viewer = UNRESTRICTED) -> None:
        """Delete the source image and everything made from it; see `AvatarDeletion`. Raises `NotFound`."""
        self._deletion.delete(image_id, viewer)
        send_waiting(self._sessions, self._dispatch)  # sessions of others replace the cancelled ones

    def summary(self, image_id: str, viewer: Viewer = UNRESTRICTED) -> ImageSummary:
        """Everything stored for a source image. Raises `NotFound`."""
        records = self._avatars.modes(image_id, viewer)
        if not records:
            raise no_avatar()
        return summary_of(records, self._card(), self._cache, self._avatars.videos(image_id, viewer))

    def _has_lost(self, avatar: AvatarRecord) -> bool:
        """Whether the cache is available and lacks an artefact that a video of this avatar needs."""
        card = self._card()
        if card is None:
            return False
        keys = avatar_keys(
            card.stages, avatar.image_id, avatar.mode, card.name, card.version, avatar.face_index
        )
        essential = [keys[name] for name, _, is_essential in card.stages if is_essential]
        try:
            return any(self._cache.size_and_ttl(key) is None for key in essential)
        except CacheUnavailable:
            return False

    def _card(self) -> EngineCard | None:
        """The default engine, or None until a worker has published one."""
        try:
            return self._engines.card()
        except EngineUnavailable:
            return None

    def _prepare_again(self, record: AvatarRecord, viewer: Viewer) -> AvatarRecord:
        image_id, mode, face_index = record.image_id, record.mode, record.face_index
        if self._avatars.reopen(image_id, mode, face_index):
            log.info("avatar_reopened", image_id=image_id, mode=mode, face_index=face_index)
            self._dispatch.prepare(image_id, mode, face_index)
        return self._avatars.get(image_id, mode, viewer, face_index=face_index) or record

    def _source_image(self, request: VideoRequest, viewer: Viewer) -> tuple[AvatarRecord, str]:
        """The requested avatar, or else another one of its source image. Also the owner of the result: the
        viewer, or one of the avatar's owners if the viewer can only see it.

        Raises `NotFound`, `InvalidOption` for a missing face, and the error of a failed preparation.
        """
        image_id, mode, face_index = request.image_id, request.options.preprocess, request.options.face_index
        record = self._avatars.get(image_id, mode, viewer, face_index=face_index)
        if record is None:
            others = self._avatars.modes(image_id, viewer)
            if not others:
                raise no_avatar()
            check_face(others, face_index)
            record = others[0]
        elif record.failure is not None:
            raise error_of(record.failure)
        owners = self._avatars.owners(image_id) if viewer.sees_all else ()
        return record, viewer.owner if viewer.owner in owners or not owners else owners[0]

    def _add_slot(self, other: AvatarRecord, options: RenderOptions, owner: str) -> None:
        """Add and prepare a mode or face in which the source image was not uploaded."""
        mode, face_index = options.preprocess, options.face_index
        now = self._clock()
        record = AvatarRecord(
            image_id=other.image_id,
            mode=mode,
            state="processing",
            uploaded_at=now,
            changed_at=now,
            width=other.width,
            height=other.height,
            size_bytes=other.size_bytes,
            media_type=other.media_type,
            face_index=face_index,
        )
        if self._avatars.add_mode(record, owner):
            self._dispatch.prepare(other.image_id, mode, face_index)

    def _spec(self, request: VideoRequest, image: tuple[int, int]) -> tuple[VideoSpec, tuple[str, ...]]:
        """The video to render, and warnings about ignored options. `image`: (width, height)."""
        card = self._engines.card(request.engine)
        references = {"ref_eyeblink": request.ref_eyeblink, "ref_pose": request.ref_pose}
        given = {name: video[0] for name, video in references.items() if video}
        applied = apply_to_engine(card, request.options, given.keys())
        spec = VideoSpec(
            image_id=request.image_id,
            audio_id=request.audio_id,
            options=applied.options,
            engine=card.name,
            engine_version=card.version,
            audio_seconds=request.audio_seconds,
            audio_reading=request.audio_reading,
            spoken=request.spoken,
            transcript=request.transcript,
            ref_eyeblink_id=given.get("ref_eyeblink"),
            ref_pose_id=given.get("ref_pose"),
            timeout_factor=card.capabilities.timeout_factor,
        )
        remark = height_remark(applied.options, image) if request.explain_height else None
        return spec, (*applied.warnings, remark) if remark else applied.warnings

    def _has_video(self, key: str) -> bool:
        """Whether the result is known and its file exists. A result without a file is forgotten."""
        if self._sessions.known_result(key) is None:
            return False
        if self._artefacts.exists(video_name(key)):
            self._artefacts.touch(video_name(key))
            return True
        log.warning("video_missing", result_key=key)
        self._sessions.delete_video(key)
        return False

    def _keep_files(self, request: VideoRequest) -> None:
        self._artefacts.touch(source_image_name(request.image_id))
        if request.audio_id and request.audio_path:
            self._artefacts.put_file(request.audio_path, speech_name(request.audio_id))
        for file in filter(None, (request.ref_eyeblink, request.ref_pose, request.background)):
            self._artefacts.put_file(file[1], speech_name(file[0]))
