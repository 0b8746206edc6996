"""The use cases of live sessions: start one, look at it, end it."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from sadtalker_service.engines.port import EngineCard
from sadtalker_service.errors import InvalidOption, NotFound, UnsupportedByEngine
from sadtalker_service.jobs.deletion import no_avatar
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.render_options import OPTION_NAMES
from sadtalker_service.pipeline.validation import apply_to_engine
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.failures import error_of
from sadtalker_service.state.live_records import LiveSession, LiveSpec, recording_key
from sadtalker_service.state.live_sessions import LiveSessionStore
from sadtalker_service.state.registry import EngineRegistry
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.viewer import UNRESTRICTED, Viewer
from sadtalker_service.store.artefact_store import ArtefactStore, source_image_name

LIVE_OPTIONS = (
    "preprocess",
    "face_index",
    "still",
    "expression_scale",
    "pose_style",
    "size",
    "quality",
    "seed",
)
"""Options of a video that a live session has too. The others belong to a whole recording."""


@dataclass(frozen=True)
class LiveRequest:
    """A request for a live session, with parsed fields."""

    image_id: str
    options: RenderOptions
    engine: str | None = None
    """Name of an engine; None for the default one."""
    voice: str = ""
    record: bool = False
    """Whether it becomes a video."""


@dataclass(frozen=True)
class StartedLive:
    """A session that waits for its client."""

    session: LiveSession
    token: str = field(repr=False)
    """What its client shows to connect. It is not kept."""
    warnings: tuple[str, ...] = ()


def token_digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def live_options(
    values: Mapping[str, Any], called: Mapping[str, str] = MappingProxyType({})
) -> RenderOptions:
    """The options in a request. Raises `InvalidOption` for one that a live session does not have."""
    for name in values:
        if name not in LIVE_OPTIONS:
            hint = "belongs to videos and has no meaning in a live session. Leave it out."
            if name not in OPTION_NAMES:
                hint = f"is unknown. Options of a live session: {', '.join(LIVE_OPTIONS)}."
            raise InvalidOption(f"{name} {hint}", param=called.get(name, name))
    return RenderOptions(**values)


class LiveService:
    """Starts and ends live sessions. Every method raises `StoreUnavailable`."""

    def __init__(
        self,
        *,
        live: LiveSessionStore,
        sessions: SessionStore,
        avatars: AvatarStore,
        engines: EngineRegistry,
        artefacts: ArtefactStore,
        recording_seconds: float,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        new_token: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        """`recording_seconds`: longest recording, 0 for none. `new_token` returns unguessable texts of
        letters, digits, `-` and `_`."""
        self._live = live
        self._sessions = sessions
        self._recording_seconds = recording_seconds
        self._avatars = avatars
        self._engines = engines
        self._artefacts = artefacts
        self._new_id = new_id
        self._new_token = new_token

    def start(self, request: LiveRequest, viewer: Viewer = UNRESTRICTED) -> StartedLive:
        """Claim a slot. Raises `NotFound` for an unknown source image, the error of its failed preparation,
        `InvalidOption`, `UnsupportedByEngine`, `EngineUnavailable`, `LiveSlotsFull`, `LiveUnavailable`."""
        owner = self._owner(request, viewer)
        if request.record and not self._recording_seconds:
            raise InvalidOption(
                "This service records no live sessions. Leave out record, or ask the operator to set"
                " LIVE_RECORDING_SECONDS.",
                param="record",
            )
        card, remarks = self._engine(request.engine)
        applied = apply_to_engine(card, request.options)
        spec = LiveSpec(
            image_id=request.image_id,
            options=applied.options,
            engine=card.name,
            engine_version=card.version,
            voice=request.voice,
            record=request.record,
        )
        token = self._new_token()
        session = self._live.claim(self._new_id(), token_digest(token), owner, spec)
        self._artefacts.touch(source_image_name(request.image_id))
        return StartedLive(session, token, (*remarks, *applied.warnings))

    def get(self, session_id: str, viewer: Viewer = UNRESTRICTED) -> LiveSession:
        """The session. Raises `NotFound`, also for a session of another owner."""
        session = self._live.get(session_id)
        if session is None or not viewer.sees(session.owner):
            raise no_live_session()
        saved = session.saved
        if saved and saved.status == "ready" and not self._sessions.known_result(recording_key(session_id)):
            return replace(session, saved=replace(saved, status="deleted"))
        return session

    def end(self, session_id: str, viewer: Viewer = UNRESTRICTED) -> LiveSession:
        """End the session; one that has ended stays as it is. Raises `NotFound`."""
        self.get(session_id, viewer)
        self._live.end(session_id, "ended_by_request")
        return self.get(session_id, viewer)

    def _engine(self, name: str | None) -> tuple[EngineCard, tuple[str, ...]]:
        """The engine for a session, and remarks: if none was asked for, one that can talk live.

        Raises `UnsupportedByEngine`, `EngineUnavailable`, `EngineStarting`.
        """
        card = self._engines.card(name)
        if card.capabilities.live:
            return card, ()
        able = next((one for one in self._engines.all().values() if one.capabilities.live), None)
        cannot = f"The {card.name} engine cannot talk live: it draws many frames at a time."
        if able is None:
            raise UnsupportedByEngine(f"{cannot} Ask the operator for the mesh engine.", param="engine")
        if name is not None:
            raise UnsupportedByEngine(
                f"{cannot} Send engine={able.name}, or leave out engine.", param="engine"
            )
        return able, (f"{cannot} The {able.name} engine draws this session.",)

    def _owner(self, request: LiveRequest, viewer: Viewer) -> str:
        """Owner of the session: the viewer, or one of the avatar's owners if the viewer can only see it."""
        options = request.options
        record = self._avatars.get(
            request.image_id, options.preprocess, viewer, face_index=options.face_index
        )
        if record is None and not self._avatars.modes(request.image_id, viewer):
            raise no_avatar()
        if record is not None and record.failure is not None:
            raise error_of(record.failure)
        owners = self._avatars.owners(request.image_id) if viewer.sees_all else ()
        return viewer.owner if viewer.owner in owners or not owners else owners[0]


def no_live_session() -> NotFound:
    """The error for an unknown session."""
    return NotFound(
        "There is no such live session. Sessions are deleted some time after they end. Start a new one with"
        " POST /api/live.",
        param="session_id",
    )
