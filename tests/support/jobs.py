"""Sessions, outcomes and a clock for tests of background jobs."""

from __future__ import annotations

from dataclasses import dataclass, field

import redis

from sadtalker_service.domain import PreprocessMode, VideoResult
from sadtalker_service.engines.port import Capabilities, EngineCard
from sadtalker_service.options import RenderOptions
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.records import AvatarRecord, Lane, Session, VideoSpec, slot_of
from sadtalker_service.state.viewer import LOCAL_OWNER

IMAGE = "a" * 64
AUDIO = "b" * 64
KEY = "c" * 64

CARD = EngineCard(
    name="pattern",
    version="1",
    capabilities=Capabilities(("crop", "full"), (64, 512), enhancers=(), gestures=("smile",), live=True),
    stages=(("face_detection", False, True), ("face_mesh", True, True), ("visemes", False, False)),
)

OUTCOME = VideoResult(
    engine="pattern",
    width=512,
    height=512,
    fps=25,
    frames=50,
    video_seconds=2.0,
    size_bytes=40_000,
    total_seconds=1.5,
    seconds={"render": 1.0},
    saved_seconds=0.25,
)


class Clock:
    """Seconds since 1970. Time passes only when a test advances it."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass
class Tickets:
    """A `Dispatch` that records its messages."""

    generated: list[str] = field(default_factory=list)
    prepared: list[tuple[str, str]] = field(default_factory=list)

    def generate(self, session: Session) -> None:
        """Record a message for a video."""
        self.generated.append(session.session_id)

    def prepare(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Record a message for an avatar."""
        self.prepared.append((image_id, slot_of(mode, face_index)))


def make_session(
    session_id: str,
    lane: Lane = "standard",
    *,
    key: str = KEY,
    image_id: str = IMAGE,
    at: float = 1_700_000_000.0,
    seconds: float = 2.0,
    callback_url: str | None = None,
    owner: str = LOCAL_OWNER,
) -> Session:
    """A session that has not been accepted yet."""
    spec = VideoSpec(image_id, AUDIO, RenderOptions(), "pattern", "1", seconds)
    return Session(session_id, lane, spec, key, at, callback_url=callback_url, owner=owner)


def make_avatar(
    image_id: str = IMAGE, mode: PreprocessMode = "full", at: float = 1_700_000_000.0
) -> AvatarRecord:
    """An avatar that was just uploaded."""
    return AvatarRecord(image_id, mode, "processing", at, at, 640, 480, 12_345, "image/jpeg")


def add_avatar(client: redis.Redis, image_id: str = IMAGE, owner: str = LOCAL_OWNER) -> None:
    """Register an uploaded avatar. Sessions are accepted only for avatars that their owner has uploaded."""
    AvatarStore(client).add(make_avatar(image_id), owner)
