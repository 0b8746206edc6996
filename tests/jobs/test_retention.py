"""Old files and files above the limit are removed, needed ones stay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.servers import StoreServer
from tests.support.workers import Cluster, open_cluster

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
def cluster(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Iterator[Cluster]:
    """Stores without any worker."""
    with open_cluster(queue_server, cache_server, tmp_path, artefact_max_bytes=200_000) as opened:
        opened.engines.publish(CARD, default=True)
        yield opened


@pytest.fixture
def retention(cluster: Cluster) -> Retention:
    return Retention(cluster.artefacts, cluster.sessions, video_service(cluster), cluster.settings)


def video_service(cluster: Cluster) -> VideoService:
    return VideoService(
        sessions=cluster.sessions,
        avatars=cluster.avatars,
        engines=cluster.engines,
        statistics=Statistics(cluster.queue),
        artefacts=cluster.artefacts,
        cache=RedisCache(cluster.cache),
        dispatch=cluster.dispatch,
    )


def video(cluster: Cluster, image_id: str, seed: int, size: int = 1_000) -> str:
    """A finished video. Returns its result key."""
    session_id = cluster.request(image_id, cluster.speech(), RenderOptions(seed=seed), send=False)
    session = cluster.sessions.begin(session_id, "worker")
    assert session is not None
    cluster.avatars.link_video(image_id, session.result_key)
    cluster.artefacts.put_bytes(bytes(size), video_name(session.result_key))
    outcome = VideoResult(64, 64, 25, 25, 1.0, size, 1.0, {}, 0.0, engine="pattern")
    assert cluster.sessions.finish(session_id, session.attempt, outcome)
    return session.result_key


def used(cluster: Cluster, name: str, days_ago: float) -> None:
    """Set the time of its last use."""
    path = cluster.artefacts.path(name)
    assert path is not None
    moment = time.time() - days_ago * DAY
    os.utime(path, (moment, moment))


def test_old_videos_and_audio_files_are_removed_and_used_ones_stay(
    cluster: Cluster, retention: Retention
) -> None:
    image_id = cluster.source_image()
    old, used_lately = video(cluster, image_id, 1), video(cluster, image_id, 2)
    old_speech, speech = cluster.speech(pitch=100), cluster.speech(pitch=200)
    used(cluster, video_name(old), 8)
    used(cluster, video_name(used_lately), 6)
    used(cluster, speech_name(old_speech), 8)
    assert retention.sweep() == 2
    assert not cluster.artefacts.exists(video_name(old))
    assert cluster.sessions.known_result(old) is None  # an equal request renders it again
    assert cluster.sessions.known_result(used_lately) is not None
    assert cluster.artefacts.exists(video_name(used_lately))
    assert not cluster.artefacts.exists(speech_name(old_speech))
    assert cluster.artefacts.exists(speech_name(speech))
    assert retention.sweep() == 0


def test_files_of_unfinished_sessions_stay(cluster: Cluster, retention: Retention) -> None:
    image_id, waiting, running = cluster.source_image(), cluster.speech(pitch=100), cluster.speech(pitch=200)
    cluster.request(image_id, waiting, send=False)
    assert cluster.sessions.begin(cluster.request(image_id, running, send=False), "worker") is not None
    for name in (source_image_name(image_id), speech_name(waiting), speech_name(running)):
        used(cluster, name, 1_000)
    assert retention.sweep() == 0
    assert cluster.artefacts.exists(source_image_name(image_id))


def test_reference_video_stays_while_needed_and_ages_like_audio(
    cluster: Cluster, retention: Retention
) -> None:
    image_id, speech, reference = cluster.source_image(), cluster.speech(), cluster.speech(pitch=300)
    spec = VideoSpec(image_id, speech, RenderOptions(), "pattern", "1", 1.0, ref_pose_id=reference)
    session = cluster.sessions.accept(Session("with-reference", "vip", spec, result_key(spec), time.time()))
    used(cluster, speech_name(reference), 1_000)
    assert retention.sweep() == 0
    cluster.sessions.cancel(session.session_id)
    assert retention.sweep() == 1
    assert not cluster.artefacts.exists(speech_name(reference))


def test_old_source_image_is_removed_with_everything_made_from_it(
    cluster: Cluster, retention: Retention
) -> None:
    image_id, other = cluster.source_image(), cluster.source_image(seed=2)
    key = video(cluster, image_id, 1)
    used(cluster, source_image_name(image_id), 91)
    retention.sweep()
    assert not cluster.artefacts.exists(source_image_name(image_id))
    assert not cluster.artefacts.exists(video_name(key))
    assert cluster.avatars.modes(image_id) == ()
    with pytest.raises(NotFound):
        video_service(cluster).summary(image_id)
    assert cluster.avatars.modes(other)


def test_above_the_limit_least_recently_used_videos_are_removed_first(
    cluster: Cluster, retention: Retention
) -> None:
    image_id = cluster.source_image()
    keys = [video(cluster, image_id, seed, 60_000) for seed in range(4)]
    for days, key in zip((1, 4, 2, 3), keys, strict=True):
        used(cluster, video_name(key), days)
    retention.sweep()
    assert [cluster.artefacts.exists(video_name(key)) for key in keys] == [True, False, True, False]
    total = sum(entry.size for entry in cluster.artefacts.entries())
    assert total <= cluster.settings.artefact_max_bytes


def test_audio_files_are_removed_if_videos_are_not_enough(cluster: Cluster, retention: Retention) -> None:
    speech = [cluster.speech(3.0, pitch=pitch) for pitch in (100, 200)]  # 96 kB each
    used(cluster, speech_name(speech[1]), 1)
    key = video(cluster, cluster.source_image(), 1, 30_000)
    assert retention.sweep() == 2
    assert not cluster.artefacts.exists(video_name(key))
    assert [cluster.artefacts.exists(speech_name(audio_id)) for audio_id in speech] == [True, False]
