"""Old files and files above the limit are removed, needed ones stay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.servers import StoreServer
from tests.support.workers import Workshop, open_workshop

from sadtalker_service.domain import VideoResult
from sadtalker_service.engines.port import Capabilities, EngineCard
from sadtalker_service.errors import NotFound
from sadtalker_service.jobs.retention import Retention
from sadtalker_service.jobs.video_service import VideoService
from sadtalker_service.options import RenderOptions
from sadtalker_service.state.records import Session, VideoSpec
from sadtalker_service.state.result_key import result_key
from sadtalker_service.state.statistics import Statistics
from sadtalker_service.store.artefact_store import source_image_name, speech_name, video_name
from sadtalker_service.store.redis_cache import RedisCache

DAY = 86_400.0
CARD = EngineCard("pattern", "1", Capabilities(("full",), (64, 512)), ())


@pytest.fixture
def shop(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Iterator[Workshop]:
    """Stores without any worker."""
    with open_workshop(queue_server, cache_server, tmp_path, artefact_max_bytes=200_000) as opened:
        opened.engines.publish(CARD, default=True)
        yield opened


@pytest.fixture
def retention(shop: Workshop) -> Retention:
    return Retention(shop.artefacts, shop.sessions, video_service(shop), shop.settings)


def video_service(shop: Workshop) -> VideoService:
    return VideoService(
        sessions=shop.sessions,
        avatars=shop.avatars,
        engines=shop.engines,
        statistics=Statistics(shop.queue),
        artefacts=shop.artefacts,
        cache=RedisCache(shop.cache),
        dispatch=shop.dispatch,
    )


def video(shop: Workshop, image_id: str, seed: int, size: int = 1_000) -> str:
    """A finished video. Returns its result key."""
    session_id = shop.request(image_id, shop.speech(), RenderOptions(seed=seed), send=False)
    session = shop.sessions.begin(session_id, "worker")
    assert session is not None
    shop.avatars.link_video(image_id, session.result_key)
    shop.artefacts.put_bytes(bytes(size), video_name(session.result_key))
    outcome = VideoResult(64, 64, 25, 25, 1.0, size, 1.0, {}, 0.0, engine="pattern")
    assert shop.sessions.finish(session_id, session.attempt, outcome)
    return session.result_key


def used(shop: Workshop, name: str, days_ago: float) -> None:
    """Set the time of its last use."""
    path = shop.artefacts.path(name)
    assert path is not None
    moment = time.time() - days_ago * DAY
    os.utime(path, (moment, moment))


def test_old_videos_and_audio_files_are_removed_and_used_ones_stay(
    shop: Workshop, retention: Retention
) -> None:
    image_id = shop.source_image()
    old, used_lately = video(shop, image_id, 1), video(shop, image_id, 2)
    old_speech, speech = shop.speech(pitch=100), shop.speech(pitch=200)
    used(shop, video_name(old), 8)
    used(shop, video_name(used_lately), 6)
    used(shop, speech_name(old_speech), 8)
    assert retention.sweep() == 2
    assert not shop.artefacts.exists(video_name(old))
    assert shop.sessions.known_result(old) is None  # an equal request renders it again
    assert shop.sessions.known_result(used_lately) is not None
    assert shop.artefacts.exists(video_name(used_lately))
    assert not shop.artefacts.exists(speech_name(old_speech))
    assert shop.artefacts.exists(speech_name(speech))
    assert retention.sweep() == 0


def test_files_of_unfinished_sessions_stay(shop: Workshop, retention: Retention) -> None:
    image_id, waiting, running = shop.source_image(), shop.speech(pitch=100), shop.speech(pitch=200)
    shop.request(image_id, waiting, send=False)
    assert shop.sessions.begin(shop.request(image_id, running, send=False), "worker") is not None
    for name in (source_image_name(image_id), speech_name(waiting), speech_name(running)):
        used(shop, name, 1_000)
    assert retention.sweep() == 0
    assert shop.artefacts.exists(source_image_name(image_id))


def test_reference_video_stays_while_needed_and_ages_like_audio(shop: Workshop, retention: Retention) -> None:
    image_id, speech, reference = shop.source_image(), shop.speech(), shop.speech(pitch=300)
    spec = VideoSpec(image_id, speech, RenderOptions(), "pattern", "1", 1.0, ref_pose_id=reference)
    session = shop.sessions.accept(Session("with-reference", "vip", spec, result_key(spec), time.time()))
    used(shop, speech_name(reference), 1_000)
    assert retention.sweep() == 0
    shop.sessions.cancel(session.session_id)
    assert retention.sweep() == 1
    assert not shop.artefacts.exists(speech_name(reference))


def test_old_source_image_is_removed_with_everything_made_from_it(
    shop: Workshop, retention: Retention
) -> None:
    image_id, other = shop.source_image(), shop.source_image(seed=2)
    key = video(shop, image_id, 1)
    used(shop, source_image_name(image_id), 91)
    retention.sweep()
    assert not shop.artefacts.exists(source_image_name(image_id))
    assert not shop.artefacts.exists(video_name(key))
    assert shop.avatars.modes(image_id) == ()
    with pytest.raises(NotFound):
        video_service(shop).summary(image_id)
    assert shop.avatars.modes(other)


def test_above_the_limit_least_recently_used_videos_are_removed_first(
    shop: Workshop, retention: Retention
) -> None:
    image_id = shop.source_image()
    keys = [video(shop, image_id, seed, 60_000) for seed in range(4)]
    for days, key in zip((1, 4, 2, 3), keys, strict=True):
        used(shop, video_name(key), days)
    retention.sweep()
    assert [shop.artefacts.exists(video_name(key)) for key in keys] == [True, False, True, False]
    total = sum(entry.size for entry in shop.artefacts.entries())
    assert total <= shop.settings.artefact_max_bytes


def test_audio_files_are_removed_if_videos_are_not_enough(shop: Workshop, retention: Retention) -> None:
    speech = [shop.speech(3.0, pitch=pitch) for pitch in (100, 200)]  # 96 kB each
    used(shop, speech_name(speech[1]), 1)
    key = video(shop, shop.source_image(), 1, 30_000)
    assert retention.sweep() == 2
    assert not shop.artefacts.exists(video_name(key))
    assert [shop.artefacts.exists(speech_name(audio_id)) for audio_id in speech] == [True, False]
