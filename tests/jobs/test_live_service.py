"""Which engine a live session gets, and its recording among the videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.jobs import OUTCOME, make_session
from tests.support.servers import StoreServer

from sadtalker_service.api.presenters.live import live_answer
from sadtalker_service.domain import PreprocessMode
from sadtalker_service.engines.port import Capabilities, EngineCard
from sadtalker_service.errors import InvalidOption, NotFound, UnsupportedByEngine
from sadtalker_service.jobs.live_service import LiveRequest
from sadtalker_service.jobs.retention import Retention
from sadtalker_service.jobs.stores import Stores
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import (
    LiveFigures,
    LiveRecording,
    LiveSession,
    LiveWorker,
    recording_key,
)
from sadtalker_service.state.records import AvatarRecord
from sadtalker_service.state.viewer import Viewer
from sadtalker_service.store.artefact_store import video_name

IMAGE = "ab" * 32
MODES: tuple[PreprocessMode, ...] = ("crop", "full")
FAST = EngineCard("fast", "1", Capabilities(MODES, (64, 512), live=True), ())
SLOW = EngineCard("slow", "1", Capabilities(MODES, (64, 512)), ())
SHOP = Viewer("shop")


@pytest.fixture
def stores(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Iterator[Stores]:
    """A ready avatar of one owner."""
    settings = Settings(
        _env_file=None, data_dir=tmp_path, queue_url=queue_server.url, redis_url=cache_server.url
    )
    stores = Stores(settings)
    record = AvatarRecord(IMAGE, "crop", "ready", 0.0, 0.0, 64, 64, 10, "image/jpeg")
    stores.avatars.add(record, "shop")
    yield stores
    stores.close()


def begun(stores: Stores, engine: str | None = None, *, record: bool = False) -> LiveSession:
    stores.live.beat("one", LiveWorker("unix:///x", 9, 0.0, ("fast",)))  # it counts for four seconds
    request = LiveRequest(IMAGE, RenderOptions(preprocess="crop"), engine, record=record)
    return stores.live_service.start(request, SHOP).session


def test_engine_that_cannot_talk_live_is_refused_and_another_one_is_named(stores: Stores) -> None:
    stores.engines.publish(SLOW, default=True)
    with pytest.raises(UnsupportedByEngine, match="Ask the operator for the mesh engine") as alone:
        begun(stores)
    assert (alone.value.status, alone.value.param) == (422, "engine")
    stores.engines.publish(FAST, default=False)
    with pytest.raises(UnsupportedByEngine, match=r"slow engine cannot talk live.* Send engine=fast"):
        begun(stores, "slow")
    # nobody has asked for the default engine by name
    stores.live.beat("one", LiveWorker("unix:///x", 9, 0.0, ("fast",)))
    started = stores.live_service.start(LiveRequest(IMAGE, RenderOptions(preprocess="crop")), SHOP)
    assert started.session.spec.engine == "fast"
    assert started.warnings == (
        "The slow engine cannot talk live: it draws many frames at a time."
        " The fast engine draws this session.",
    )
    assert begun(stores, "fast").spec.engine == "fast"


def test_recording_has_a_state_until_it_is_deleted_like_other_videos(stores: Stores) -> None:
    stores.engines.publish(FAST, default=True)
    live, settings = begun(stores, record=True), stores.settings
    name, key = live.session_id, recording_key(live.session_id)

    def told(now: float | None = None) -> tuple[str, float]:
        facts = live_answer(stores.live_service.get(name, SHOP), settings, now=now).recording
        assert facts is not None
        return facts.status, facts.seconds

    assert told() == ("recording", 0.0)
    nobody = begun(stores, record=True).session_id
    stores.live_service.end(nobody, SHOP)
    unseen = live_answer(stores.live_service.get(nobody, SHOP), settings).recording
    assert unseen is not None
    assert unseen.status == "lost"  # nobody will make a video of it
    figures = LiveFigures(100, 0, None, 64, 64, 4.0, "length")
    stores.live.renew(name, "one", "connected", figures)
    assert told() == ("stopped", 4.0)
    stores.live.end(name, "worker_lost", figures)
    ended_at = stores.live_service.get(name, SHOP).ended_at
    assert ended_at is not None
    assert told() == ("saving", 4.0)
    assert told(ended_at + 901) == ("lost", 4.0)  # its machine does not come back

    video = make_session(name, key=key, image_id=IMAGE, owner="shop")
    with pytest.raises(ValueError, match="no video"):
        stores.sessions.add_finished(video)
    video = replace(video, outcome=OUTCOME, started_at=1.0)
    assert stores.avatars.link_video(IMAGE, key)
    stores.artefacts.put_bytes(b"video", video_name(key))
    assert stores.sessions.add_finished(video)
    assert stores.sessions.add_finished(video)  # repeated, because the reply was lost
    stores.live.saved(name, LiveRecording("ready", 3.96))
    assert told() == ("ready", 3.96)
    known = stores.sessions.get(name)
    assert known is not None
    assert (known.state, known.owner, known.outcome) == ("ready", "shop", OUTCOME)
    assert stores.avatars.videos(IMAGE, SHOP) == 1
    assert stores.avatars.videos(IMAGE, Viewer("bank")) == 0
    with pytest.raises(NotFound):
        stores.live_service.get(name, Viewer("bank"))

    settings = settings.model_copy(update={"video_retention_seconds": -1.0})
    service = stores.make_video_service(None)  # nothing is sent
    assert Retention(stores.artefacts, stores.sessions, service, settings).sweep() == 1
    assert told() == ("deleted", 3.96)
    gone = stores.sessions.get(name)
    assert gone is not None
    assert gone.failure is not None
    assert gone.failure.code == "video_deleted"


def test_recording_of_a_deleted_avatar_is_refused(stores: Stores) -> None:
    video = replace(make_session("late", image_id=IMAGE, owner="bank"), outcome=OUTCOME)
    assert not stores.sessions.add_finished(video)
    assert stores.sessions.get("late") is None


def test_service_that_records_nothing_says_so(stores: Stores) -> None:
    stores.engines.publish(FAST, default=True)
    stores.settings = stores.settings.model_copy(update={"live_recording_seconds": 0.0})
    with pytest.raises(InvalidOption, match="LIVE_RECORDING_SECONDS"):
        begun(stores, record=True)
    assert not begun(stores).spec.record
