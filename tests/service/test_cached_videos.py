"""A video of a cached avatar with cached driven audio is made without opening either upload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from tests.support.servers import StoreServer
from tests.support.workers import Cluster, open_cluster

from sadtalker_service.domain import Artefact
from sadtalker_service.options import RenderOptions
from sadtalker_service.store.artefact_store import source_image_name, video_name
from sadtalker_service.store.keys import decoded_speech_key
from sadtalker_service.store.redis_cache import RedisCache


@pytest.fixture
def cluster(queue_server: StoreServer, cache_server: StoreServer, tmp_path: Path) -> Iterator[Cluster]:
    with open_cluster(queue_server, cache_server, tmp_path) as opened:
        yield opened


def test_a_cached_avatar_does_not_need_its_source_image(cluster: Cluster) -> None:
    cluster.worker()
    image_id, audio_id = cluster.source_image(), cluster.speech()
    cluster.wait(cluster.request(image_id, audio_id, RenderOptions(seed=1)), "ready")
    cluster.artefacts.delete(source_image_name(image_id))
    again = cluster.wait(cluster.request(image_id, audio_id, RenderOptions(seed=2)), "ready")
    assert again.outcome is not None
    assert set(again.outcome.cache_hits) == {"face_detection", "face_mesh", "motion"}


def test_audio_decoded_by_the_api_is_not_decoded_again(cluster: Cluster) -> None:
    """The cached samples are silent and those in the file are not, so the mouth stays closed."""
    cluster.worker()
    image_id, audio_id = cluster.source_image(), cluster.speech()
    silence = Artefact({"samples": np.zeros(16_000, np.float32)})
    RedisCache(cluster.cache).put(decoded_speech_key(audio_id, 0), silence, 60.0)
    ready = cluster.wait(cluster.request(image_id, audio_id), "ready")
    with cluster.artefacts.local(video_name(ready.result_key)) as path, av.open(str(path)) as video:
        shades = [frame.to_ndarray(format="gray")[40:50, 60:70].mean() for frame in video.decode(video=0)]
    assert len(shades) == 25
    assert max(shades) < 30, "a loud recording makes the patch bright"
