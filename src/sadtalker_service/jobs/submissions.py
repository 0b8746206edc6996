"""The front desk: what the API calls to take requests on, end them, and remove what was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sadtalker_service.domain import PreprocessMode, Style
from sadtalker_service.jobs.avatars import AvatarStore
from sadtalker_service.jobs.boards import EngineShelf
from sadtalker_service.jobs.records import AvatarRecord, Lane, Session
from sadtalker_service.jobs.sessions import SessionStore
from sadtalker_service.jobs.statistics import Statistics
from sadtalker_service.store.artefact_store import ArtefactStore


class Dispatch(Protocol):
    """Sends tickets to the broker. Both raise `StoreUnavailable`, quickly."""

    def generate(self, session: Session) -> None:
        """A worker that serves the session's lane shall `begin` it."""

    def prepare(self, image_id: str, mode: PreprocessMode) -> None:
        """A worker shall prepare the avatar."""


class AvatarCache(Protocol):
    """The part of `store.redis_cache.RedisCache` that concerns avatars as a whole."""

    def forget(self, image_id: str) -> int:
        """Remove every artefact made from the portrait; how many there were. Raises `CacheUnavailable`."""

    def size_and_ttl(self, key: str) -> tuple[int, int | None] | None:
        """(bytes, seconds left or None for no end) of an artefact, None if absent. Raises `CacheUnavailable`."""


@dataclass(frozen=True)
class ImageFacts:
    """What was found out about an uploaded picture."""

    width: int
    height: int
    media_type: str


@dataclass(frozen=True)
class VideoRequest:
    """A request for a video, its fields read and its files on disk."""

    lane: Lane
    image_id: str
    style: Style
    audio_id: str | None
    """sha256 of the recording; None for an idle video."""
    audio_path: Path | None
    """The recording's file; None for an idle video."""
    audio_seconds: float
    """Length of the recording, or of the idle video."""
    engine: str | None = None
    """Name of an engine; None for the default one."""
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


@dataclass(frozen=True)
class Component:
    """What the cache holds of one stage of an avatar, over all modes in which it was uploaded."""

    cached: bool
    ttl: int | None
    """Seconds until the first of its artefacts expires; None for never, and for what is not cached."""
    size_bytes: int


@dataclass(frozen=True)
class ImageSummary:
    """What is kept of a portrait."""

    image_id: str
    records: tuple[AvatarRecord, ...]
    """One per mode."""
    components: Mapping[str, Component]
    """Stage -> what the cache holds of it."""
    total_bytes: int
    coverage: float
    """Share of the stages that are cached, 0..1."""
    videos: int
    """Videos made from it that are kept."""


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
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        """`clock` gives seconds since 1970, `new_id` session ids (`str(uuid4())`)."""

    def upload(
        self, path: Path, image_id: str, mode: PreprocessMode, facts: ImageFacts
    ) -> tuple[AvatarRecord, bool]:
        """Keep the portrait in `path`, whose sha256 is `image_id`, and have it prepared.

        The avatar, and whether it was known already (`ready` or in preparation). Raises `OutputError` where
        it cannot be stored.
        """

    def generate(self, request: VideoRequest) -> Session:
        """Take a request on. Ready at once if its video is there.

        Raises `NotFound` for an unknown portrait, the error with which its preparation failed (`NoFaceFound`,
        ...), `InvalidOption`, `UnsupportedByEngine`, `EngineUnavailable`, `LaneFull`, `OutputError`.
        """

    def cancel(self, session_id: str) -> Session:
        """End a session; see `SessionStore.cancel`. Raises `NotFound`."""

    def delete_avatar(self, image_id: str) -> None:
        """Remove the portrait, every artefact and every video made from it; its sessions are cancelled.

        Raises `NotFound`.
        """

    def summary(self, image_id: str) -> ImageSummary:
        """What is kept of a portrait. Raises `NotFound`."""


def send_waiting(sessions: SessionStore, dispatch: Dispatch) -> int:
    """Send the tickets of promoted and handed back sessions; how many. To be called after `fail`, `hand_back`
    and `cancel`, and by the janitor. Raises `StoreUnavailable`."""
