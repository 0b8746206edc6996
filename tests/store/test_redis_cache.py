"""The shared cache on a real server: kept, expired, evicted, gone and back again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from tests.support.servers import CACHE_BYTES, StoreServer

from sadtalker_service.domain import Artefact
from sadtalker_service.store.cache import CacheUnavailable
from sadtalker_service.store.connections import connect
from sadtalker_service.store.keys import speech_features_key, stage_key
from sadtalker_service.store.media_stream import MediaStream, StreamBroken, stream_key
from sadtalker_service.store.redis_cache import PAUSE_SECONDS, RedisCache

ONE, TWO = "1" * 64, "2" * 64
MESH = stage_key("face_mesh", ONE, "full", "mesh", "3")


def artefact(value: float = 1.0) -> Artefact:
    return Artefact({"vertices": np.full((478, 3), value, np.float32)}, {"box": [1, 2, 3, 4]})


@pytest.fixture
def cache(cache_server: StoreServer) -> RedisCache:
    return RedisCache(cache_server.client())


def test_what_is_put_comes_back(cache: RedisCache) -> None:
    assert cache.get(MESH) is None
    cache.put(MESH, artefact(2.0), 60.0)
    found = cache.get(MESH)
    assert found is not None
    assert (found.arrays["vertices"] == 2.0).all()
    assert found.record == {"box": [1, 2, 3, 4]}


def test_artefacts_end_with_their_lifetime(cache: RedisCache) -> None:
    cache.put(MESH, artefact(), 0.05)
    time.sleep(0.1)
    assert cache.get(MESH) is None


def test_size_and_lifetime_are_told(cache: RedisCache, cache_server: StoreServer) -> None:
    assert cache.size_and_ttl(MESH) is None
    cache.put(MESH, artefact(), 60.0)
    size, ttl = cache.size_and_ttl(MESH) or (0, None)
    assert size == cache_server.client().strlen(MESH) > 478 * 3 * 4
    assert ttl is not None
    assert 55 <= ttl <= 60
    cache.put(MESH, artefact(), None)
    assert (cache.size_and_ttl(MESH) or (0, 0))[1] is None


def test_what_never_expires_has_no_ttl_until_it_is_forgotten(
    cache: RedisCache, cache_server: StoreServer
) -> None:
    client = cache_server.client()
    coefficients = stage_key("3dmm_coeffs", ONE, "full", "mesh", "3")
    cache.put(MESH, artefact(), 60.0)
    cache.put(coefficients, artefact(), 60.0)
    cache.put(coefficients, artefact(), None)  # put again, it loses the lifetime that it had
    assert client.ttl(coefficients) == -1
    assert 55 <= client.ttl(MESH) <= 60
    cache.forget(ONE)
    assert client.ttl(coefficients) == -2


@pytest.fixture
def shared_server(cache_server: StoreServer) -> Iterator[StoreServer]:
    """One that is queue as well, with the policy that `docs/operations.md` asks for."""
    client = cache_server.client()
    client.config_set("maxmemory-policy", "volatile-lru")
    yield cache_server
    client.config_set("maxmemory-policy", "allkeys-lru")


def test_a_full_shared_server_keeps_what_never_expires_and_what_waits(shared_server: StoreServer) -> None:
    client, cache = shared_server.client(), RedisCache(shared_server.client())
    client.set("session:1", "waits")
    coefficients = stage_key("3dmm_coeffs", ONE, "full", "mesh", "3")
    cache.put(coefficients, artefact(), None)
    big = Artefact({"volume": np.zeros(8_000_000, np.uint8)})
    keys = [stage_key("face_mesh", f"{number:064x}", "full", "mesh", "3") for number in range(12)]
    for key in keys:
        cache.put(key, big, 3600.0)
    assert sum(cache.get(key) is not None for key in keys) <= CACHE_BYTES // big.nbytes()
    assert cache.get(keys[-1])
    assert cache.get(coefficients)
    assert client.get("session:1") == b"waits"


def test_corrupt_value_is_a_miss_and_removed(cache: RedisCache, cache_server: StoreServer) -> None:
    client = cache_server.client()
    cache.put(MESH, artefact(), None)
    whole = client.get(MESH)
    assert isinstance(whole, bytes)
    for damaged in (b"", b"junk", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        client.set(MESH, damaged)
        assert cache.get(MESH) is None
        assert not client.exists(MESH)


def test_value_of_another_type_is_not_a_crash(cache: RedisCache, cache_server: StoreServer) -> None:
    cache_server.client().lpush(MESH, "a list")
    with pytest.raises(CacheUnavailable, match="refused"):
        cache.get(MESH)


def test_forgetting_a_source_image_leaves_all_else(cache: RedisCache, cache_server: StoreServer) -> None:
    client = cache_server.client()
    kept = [stage_key("face_mesh", TWO, "full", "mesh", "3"), speech_features_key(TWO, "mesh", "3")]
    gone = [MESH, stage_key("face_detection", ONE, None, "mesh", "3")]
    for key in (*kept, *gone):
        cache.put(key, artefact(), None)
    foreign = [f"avatar:{ONE}:full", f"flight:face_mesh:{ONE}:full:mesh:3", f"avatar_videos:{ONE}"]
    for key in foreign:
        client.set(key, "not an artefact")
    assert cache.forget(ONE) == 2
    assert all(cache.get(key) is None for key in gone)
    assert all(cache.get(key) for key in kept)
    assert client.exists(*foreign) == len(foreign)
    assert cache.forget(ONE) == 0


def test_forgetting_a_source_image_removes_the_streams_in_which_it_is_seen(
    cache: RedisCache, cache_server: StoreServer
) -> None:
    client = cache_server.client()
    with (
        MediaStream(client, "s1", 1, ONE) as first,
        MediaStream(client, "s2", 2, ONE) as second,
        MediaStream(client, "s3", 1, TWO) as other,
    ):
        for stream in (first, second, other):
            stream.write(b"a face")
        cache.forget(ONE)
        with pytest.raises(StreamBroken):
            first.write(b"the same face")  # nor does it begin again
    assert client.keys("media:*") == [stream_key("s3", 1).encode()]
    cache.forget(TWO)
    assert client.dbsize() == 0


def test_forgetting_takes_a_hash_only(cache: RedisCache) -> None:
    with pytest.raises(ValueError, match="sha256"):
        cache.forget("*")


def test_artefacts_are_counted_by_kind(cache: RedisCache, cache_server: StoreServer) -> None:
    cache_server.client().set("session:1", "not an artefact")
    for image in (ONE, TWO):
        cache.put(stage_key("face_mesh", image, "full", "mesh", "3"), artefact(), None)
    cache.put(speech_features_key(ONE, "mesh", "3"), artefact(), None)
    assert cache.count_by_kind() == {"face_mesh": 2, "motion": 1}


def test_a_full_server_drops_what_was_not_used_for_longest(cache: RedisCache) -> None:
    big = Artefact({"volume": np.zeros(8_000_000, np.uint8)})
    keys = [stage_key("face_mesh", f"{number:064x}", "full", "mesh", "3") for number in range(12)]
    assert len(keys) * big.nbytes() > CACHE_BYTES
    for key in keys:
        cache.put(key, big, None)
    assert cache.get(keys[-1])
    assert sum(cache.get(key) is not None for key in keys) <= CACHE_BYTES // big.nbytes()


def test_server_that_is_gone_costs_one_wait_and_is_used_when_it_is_back(cache_server: StoreServer) -> None:
    now = [0.0]
    cache = RedisCache(connect(cache_server.url, retries=False), clock=lambda: now[0])
    cache.put(MESH, artefact(), None)
    cache_server.kill()
    with pytest.raises(CacheUnavailable, match="does not answer"):
        cache.get(MESH)
    cache_server.start()
    with pytest.raises(CacheUnavailable, match="a moment ago"):
        cache.get(MESH)
    now[0] += PAUSE_SECONDS
    assert cache.get(MESH) is None  # it keeps nothing over a restart
    cache.put(MESH, artefact(), None)
    assert cache.get(MESH)


def test_connections_that_a_restart_broke_are_replaced_unnoticed(cache_server: StoreServer) -> None:
    cache = RedisCache(connect(cache_server.url, retries=False))
    assert cache.get(MESH) is None
    cache_server.kill()
    cache_server.start()
    assert cache.get(MESH) is None
