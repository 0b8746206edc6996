"""The front desk: what the API calls to take requests on, end them, and remove what was made."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import structlog

from sadtalker_service.domain import PreprocessMode, Style
from sadtalker_service.engines.base import EngineCard
from sadtalker_service.errors import EngineUnavailable, NotFound
from sadtalker_service.faces.numbering import no_such_face
from sadtalker_service.jobs.avatars import AvatarStore
from sadtalker_service.jobs.boards import EngineShelf
from sadtalker_service.jobs.failures import error_of
from sadtalker_service.jobs.records import AvatarRecord, Lane, Session, Wish, slot_of
from sadtalker_service.jobs.sessions import SessionStore
from sadtalker_service.jobs.statistics import Statistics
from sadtalker_service.jobs.summaries import AvatarCache, ImageSummary, summary_of
from sadtalker_service.media.inspection import ImageFacts
from sadtalker_service.pipeline.request import result_key
from sadtalker_service.pipeline.wishes import Extras, check_request, finish_of
from sadtalker_service.store.artefact_store import ArtefactStore, portrait_name, speech_name, video_name
from sadtalker_service.store.cache import CacheUnavailable
from sadtalker_service.store.keys import avatar_keys

log = structlog.get_logger(__name__)

_SHA256 = re.compile(r"[0-9a-f]{64}")

_RENEWAL_SECONDS = 10.0
"""Lost previews of a portrait are asked for at most this often."""


def _random_id() -> str:
    return str(uuid.uuid4())


class Dispatch(Protocol):
    """Sends tickets to the broker. Both raise `StoreUnavailable`, quickly."""

    def generate(self, session: Session) -> None:
        """A worker that serves the session's lane shall `begin` it."""

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """A worker shall prepare the avatar."""


@dataclass(frozen=True)
class VideoRequest:
    """A request for a video, its fields read and its files on disk."""

    lane: Lane
    image_id: str
    style: Style
    """Its `size` counts only with `sized`."""
    audio_id: str | None
    """sha256 of the recording; None for an idle video."""
    audio_path: Path | None
    """The recording's file; None for an idle video."""
    audio_seconds: float
    """Length of the recording, or of the idle video."""
    face_index: int = 0
    """Which of the portrait's faces shall speak: 0 is the largest."""
    engine: str | None = None
    """Name of an engine; None for the default one."""
    sized: bool = True
    """Whether a size was asked for; without one it is the engine's default."""
    enhancer: str | None = None
    background_enhancer: str | None = None
    ref_eyeblink: tuple[str, Path] | None = None
    """sha256 and file of a reference video."""
    ref_pose: tuple[str, Path] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The request's fields as they were given."""
    warnings: tuple[str, ...] = ()
    callback_url: str | None = None
    user_data: str | None = None
    request_id: str | None = None
    received_at: float | None = None
    """When the whole of it had come in, seconds since 1970; None for now."""


class FrontDesk:
    """Takes requests on. Every method raises `StoreUnavailable` where the queue's server does not answer."""

    def __init__(
        self,
        *,
        sessions: SessionStore,
        avatars: AvatarStore,
        engines: EngineShelf,
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
        self, path: Path, image_id: str, mode: PreprocessMode, facts: ImageFacts, face_index: int = 0
    ) -> tuple[AvatarRecord, bool]:
        """Keep the portrait in `path`, whose sha256 is `image_id`, and have it prepared.

        The avatar, and whether it was known already (`ready` or in preparation). One that was ready, but of
        which the cache has lost something, is prepared again. Raises `OutputError` where it cannot be stored,
        `InvalidOption` where it is known that there are not so many faces.
        """
        _check_face(self._avatars.modes(image_id), face_index)
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
            self._artefacts.put_file(path, portrait_name(image_id))
            known, is_new = self._avatars.add(record)
        if is_new:
            self._dispatch.prepare(image_id, mode, face_index)
        elif known.state == "ready" and self._has_lost(known):
            known = self._prepare_again(known)
        return known, not is_new

    def renew_previews(self, image_id: str, face_index: int = 0) -> None:
        """Have mouth shapes, gestures and crop of a ready avatar made again, if the cache has lost them."""
        known = [record for record in self._avatars.modes(image_id) if record.face_index == face_index]
        ready = [record for record in known if record.state == "ready"]
        if ready and self._avatars.once_in(image_id, _RENEWAL_SECONDS):
            self._dispatch.prepare(image_id, ready[0].mode, ready[0].face_index)

    def generate(self, request: VideoRequest) -> Session:
        """Take a request on. Ready at once if its video is there.

        Raises `NotFound` for an unknown portrait, the error with which its preparation failed (`NoFaceFound`,
        ...), `InvalidOption`, `UnsupportedByEngine`, `EngineUnavailable`, `LaneFull`, `OutputError`.
        """
        start = self._clock() if request.received_at is None else request.received_at
        avatar = self._portrait(request)
        is_same = avatar.slot == slot_of(request.style.preprocess, request.face_index)
        wish, warnings = self._wish(request)
        session = Session(
            session_id=self._new_id(),
            lane=request.lane,
            wish=wish,
            result_key=result_key(wish),
            queued_at=start,
            warnings=(*request.warnings, *warnings, *(avatar.warnings if is_same else ())),
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
        if not is_same:
            self._add_mode(avatar, request.style.preprocess, request.face_index)
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
        _check_image_id(image_id)
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

    def _has_lost(self, avatar: AvatarRecord) -> bool:
        """Whether the cache answers, and lacks something that a video of this avatar needs."""
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
        """The default engine, or None as long as no worker has said what it has."""
        try:
            return self._engines.card()
        except EngineUnavailable:
            return None

    def _prepare_again(self, record: AvatarRecord) -> AvatarRecord:
        named = (record.image_id, record.mode, record.face_index)
        if self._avatars.reopen(*named):
            log.info("avatar_reopened", image_id=record.image_id, mode=record.mode)
            self._dispatch.prepare(*named)
        return self._avatars.get(*named) or record

    def _portrait(self, request: VideoRequest) -> AvatarRecord:
        """The avatar that is asked for, or else another of its picture.

        Raises `NotFound`, `InvalidOption` for a face that is not there, and the failure of its preparation.
        """
        record = self._avatars.get(request.image_id, request.style.preprocess, request.face_index)
        if record is None:
            others = self._avatars.modes(request.image_id)
            if not others:
                raise _no_avatar()
            _check_face(others, request.face_index)
            record = others[0]
        elif record.failure is not None:
            raise error_of(record.failure)
        return record

    def _add_mode(self, other: AvatarRecord, mode: PreprocessMode, face_index: int) -> None:
        """A mode or a face for which the portrait was not uploaded: it is prepared for that now."""
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
        if self._avatars.add_mode(record):
            self._dispatch.prepare(other.image_id, mode, face_index)

    def _wish(self, request: VideoRequest) -> tuple[Wish, tuple[str, ...]]:
        """What the session shall become, and what of the request is left out."""
        card = self._engines.card(request.engine)
        blink, pose = request.ref_eyeblink, request.ref_pose
        extras = Extras(
            enhancer=request.enhancer,
            background_enhancer=request.background_enhancer,
            ref_eyeblink=blink and blink[1],
            ref_pose=pose and pose[1],
        )
        style = request.style
        if not request.sized:
            style = replace(style, size=card.capabilities.default_size)
        warnings, finish = check_request(card, style, extras), finish_of(card, extras)
        wish = Wish(
            image_id=request.image_id,
            audio_id=request.audio_id,
            style=style,
            engine=card.name,
            engine_version=card.version,
            audio_seconds=request.audio_seconds,
            enhancer=finish.enhancer,
            background_enhancer=finish.background_enhancer,
            ref_eyeblink_id=blink and blink[0],
            ref_pose_id=pose and pose[0],
            face_index=request.face_index,
            patience=card.capabilities.patience,
        )
        return wish, warnings

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


def _check_image_id(image_id: str) -> None:
    """What is no hash names nothing, and must not become the name of a file."""
    if not _SHA256.fullmatch(image_id):
        raise _no_avatar()


def _check_face(records: Iterable[AvatarRecord], face_index: int) -> None:
    """Raises `InvalidOption` where it is known that the picture has not so many faces."""
    count = max((len(record.faces) for record in records), default=0)
    if count and face_index >= count:
        raise no_such_face(face_index, count)


def _no_avatar() -> NotFound:
    return NotFound("There is no such avatar; upload its picture first.", param="image_id")
