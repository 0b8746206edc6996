"""The video service: what the API calls to take requests on, end them, and remove what was made."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import structlog

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.engines.port import EngineCard
from sadtalker_service.errors import EngineUnavailable, NotFound
from sadtalker_service.jobs.dispatch import Dispatch
from sadtalker_service.jobs.summaries import AvatarCache, ImageSummary, summary_of
from sadtalker_service.jobs.video_request import VideoRequest
from sadtalker_service.media.inspection import ImageFacts
from sadtalker_service.pipeline.validation import apply_to_engine
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.failures import error_of
from sadtalker_service.state.records import AvatarRecord, Session, VideoSpec
from sadtalker_service.state.registry import EngineRegistry
from sadtalker_service.state.result_key import result_key
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.statistics import Statistics
from sadtalker_service.store.artefact_store import ArtefactStore, portrait_name, speech_name, video_name
from sadtalker_service.store.cache import CacheUnavailable
from sadtalker_service.store.keys import avatar_keys

log = structlog.get_logger(__name__)

_SHA256 = re.compile(r"[0-9a-f]{64}")

_RENEWAL_SECONDS = 10.0
"""Lost previews of a portrait are asked for at most this often."""


def _random_id() -> str:
    return str(uuid.uuid4())


class VideoService:
    """Takes requests on. Every method raises `StoreUnavailable` where the queue's server does not answer."""

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
        """`clock` gives seconds since 1970; `new_id` ids of sessions, which nobody can guess."""
        self._sessions = sessions
        self._avatars = avatars
        self._engines = engines
        self._statistics = statistics
        self._artefacts = artefacts
        self._cache = cache
        self._dispatch = dispatch
        self._clock = clock
        self._new_id = new_id

    def upload(
        self, path: Path, image_id: str, mode: PreprocessMode, facts: ImageFacts
    ) -> tuple[AvatarRecord, bool]:
        """Keep the portrait in `path`, whose sha256 is `image_id`, and have it prepared.

        The avatar, and whether it was known already (`ready` or in preparation). One that was ready, but of
        which the cache has lost something, is prepared again. Raises `OutputError` where it cannot be stored.
        """
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
        )
        with self._avatars.alone(image_id):
            self._artefacts.put_file(path, portrait_name(image_id))
            known, is_new = self._avatars.add(record)
        if is_new:
            self._dispatch.prepare(image_id, mode)
        elif known.state == "ready" and self._has_lost(image_id, mode):
            known = self._prepare_again(known)
        return known, not is_new

    def renew_previews(self, image_id: str) -> None:
        """Have mouth shapes, gestures and crop of a ready avatar made again, if the cache has lost them."""
        ready = [record for record in self._avatars.modes(image_id) if record.state == "ready"]
        if ready and self._avatars.once_in(image_id, _RENEWAL_SECONDS):
            self._dispatch.prepare(image_id, ready[0].mode)

    def generate(self, request: VideoRequest) -> Session:
        """Take a request on. Ready at once if its video is there.

        Raises `NotFound` for an unknown portrait, the error with which its preparation failed (`NoFaceFound`,
        ...), `InvalidOption`, `UnsupportedByEngine`, `EngineUnavailable`, `LaneFull`, `OutputError`.
        """
        start = self._clock() if request.received_at is None else request.received_at
        avatar = self._portrait(request.image_id, request.options.preprocess)
        spec, warnings = self._spec(request)
        session = Session(
            session_id=self._new_id(),
            lane=request.lane,
            spec=spec,
            result_key=result_key(spec),
            queued_at=start,
            warnings=(*request.warnings, *warnings),
            settings=request.settings,
            callback_url=request.callback_url,
            user_data=request.user_data,
            request_id=request.request_id,
        )
        known_video = self._has_video(session.result_key)
        if not known_video:
            self._sessions.check_room(request.lane, session.result_key)  # what is refused leaves no files
            self._keep_files(request)  # before it can be begun
        accepted = self._sessions.accept(session)
        if accepted.state == "ready":
            self._artefacts.touch(portrait_name(request.image_id))
            self._statistics.answered_again(request.lane, max(0.0, self._clock() - start), accepted.outcome)
            return accepted
        if known_video:  # and removed in this moment
            self._keep_files(request)
        if avatar.mode != request.options.preprocess:
            self._add_mode(avatar, request.options.preprocess)
        if accepted.state == "queued" and accepted.leader is None:
            self._dispatch.generate(accepted)
        return accepted

    def cancel(self, session_id: str) -> Session:
        """End a session; see `SessionStore.cancel`. Raises `NotFound`."""
        session = self._sessions.cancel(session_id)
        if session is None:
            raise NotFound("There is no such session (any more).", param="session_id")
        send_waiting(self._sessions, self._dispatch)
        return session

    def delete_avatar(self, image_id: str) -> None:
        """Remove the portrait, every artefact and every video made from it; its sessions are cancelled.

        What a cache that is away still holds is removed later, by `forget_deleted`. Raises `NotFound`.
        """
        if not _SHA256.fullmatch(image_id):  # it names nothing, and must not become the name of a file
            raise _no_avatar()
        with self._avatars.alone(image_id):
            videos = self._avatars.delete(image_id)  # from here on none of its sessions can become ready
            if videos is None and not self._artefacts.exists(portrait_name(image_id)):
                raise _no_avatar()
            for session_id in self._sessions.of_image(image_id):
                self._sessions.cancel(session_id)
            for key in videos or ():
                self._artefacts.delete(video_name(key))
                self._sessions.delete_video(key)
            forget_deleted(self._avatars, self._cache)
            self._artefacts.delete(portrait_name(image_id))  # the last: until then asking again goes on

    def summary(self, image_id: str) -> ImageSummary:
        """What is kept of a portrait. Raises `NotFound`."""
        records = self._avatars.modes(image_id)
        if not records:
            raise _no_avatar()
        return summary_of(records, self._card(), self._cache, self._avatars.videos(image_id))

    def _has_lost(self, image_id: str, mode: PreprocessMode) -> bool:
        """Whether the cache answers, and lacks something that a video of this avatar needs."""
        card = self._card()
        if card is None:
            return False
        keys = avatar_keys(card.stages, image_id, mode, card.name, card.version)
        essential = [keys[name] for name, _, is_essential in card.stages if is_essential]
        try:
            return any(self._cache.size_and_ttl(key) is None for key in essential)
        except CacheUnavailable:
            return False

    def _card(self) -> EngineCard | None:
        """The default engine, or None as long as no worker has said what it has."""
        try:
            return self._engines.card()
        except EngineUnavailable:
            return None

    def _prepare_again(self, record: AvatarRecord) -> AvatarRecord:
        if self._avatars.reopen(record.image_id, record.mode):
            log.info("avatar_reopened", image_id=record.image_id, mode=record.mode)
            self._dispatch.prepare(record.image_id, record.mode)
        return self._avatars.get(record.image_id, record.mode) or record

    def _portrait(self, image_id: str, mode: PreprocessMode) -> AvatarRecord:
        """The avatar in this mode, or else in any. Raises `NotFound`, and the failure of its preparation."""
        record = self._avatars.get(image_id, mode)
        if record is None:
            others = self._avatars.modes(image_id)
            if not others:
                raise _no_avatar()
            record = others[0]
        elif record.failure is not None:
            raise error_of(record.failure)
        return record

    def _add_mode(self, other: AvatarRecord, mode: PreprocessMode) -> None:
        """A mode in which the portrait was not uploaded: it is prepared for that now."""
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
        )
        if self._avatars.add_mode(record):
            self._dispatch.prepare(other.image_id, mode)

    def _spec(self, request: VideoRequest) -> tuple[VideoSpec, tuple[str, ...]]:
        """What the session shall become, and what of the request is left out."""
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
            ref_eyeblink_id=given.get("ref_eyeblink"),
            ref_pose_id=given.get("ref_pose"),
            timeout_factor=card.capabilities.timeout_factor,
        )
        return spec, applied.warnings

    def _has_video(self, key: str) -> bool:
        """Whether the result is known and its video there; a result without is forgotten."""
        if self._sessions.known_result(key) is None:
            return False
        if self._artefacts.exists(video_name(key)):
            self._artefacts.touch(video_name(key))
            return True
        log.warning("video_missing", result_key=key)
        self._sessions.delete_video(key)
        return False

    def _keep_files(self, request: VideoRequest) -> None:
        self._artefacts.touch(portrait_name(request.image_id))
        if request.audio_id and request.audio_path:
            self._artefacts.put_file(request.audio_path, speech_name(request.audio_id))
        for reference in filter(None, (request.ref_eyeblink, request.ref_pose)):
            self._artefacts.put_file(reference[1], speech_name(reference[0]))


def send_waiting(sessions: SessionStore, dispatch: Dispatch) -> int:
    """Send the tickets of promoted and handed back sessions; how many. To be called after `fail`, `hand_back`
    and `cancel`, and by the janitor. Raises `StoreUnavailable`."""
    waiting = sessions.unsent()
    for session in waiting:
        dispatch.generate(session)
    return len(waiting)


def forget_deleted(avatars: AvatarStore, cache: AvatarCache) -> int:
    """Remove what the cache holds of deleted portraits; of how many. To be called by the janitor too: a cache
    that is away is asked again. Raises `StoreUnavailable`."""
    done = 0
    for image_id in avatars.to_forget():
        try:
            cache.forget(image_id)
        except CacheUnavailable as error:
            log.warning("artefacts_not_forgotten", image_id=image_id, reason=str(error))
            break
        avatars.forgotten(image_id)
        done += 1
    return done


def _no_avatar() -> NotFound:
    return NotFound("There is no such avatar; upload its picture first.", param="image_id")
