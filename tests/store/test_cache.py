"""Both caches keep, expire, evict and forget alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sadtalker_service.domain import Artefact
from sadtalker_service.store.cache import ArtefactCache, CacheUnavailable, MemoryCache
from sadtalker_service.store.directory import DirectoryCache
from sadtalker_service.store.keys import SECONDS, speech_features_key, stage_key

HASH = "ab" * 32


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def artefact(value: float, size: int = 1000) -> Artefact:
    return Artefact({"a": np.full(size, value, np.float32)}, {"value": value}, seconds=value / 4)


Make = Callable[[int], ArtefactCache]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "directory"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Make:
    if request.param == "memory":
        return lambda limit: MemoryCache(limit, clock)
    return lambda limit: DirectoryCache(tmp_path / "cache", limit, clock)


def key(stage: str = "face_mesh", n: int = 0) -> str:
    return stage_key(stage, f"{n:064x}", "full", "mesh", "1.0")


def test_what_was_put_is_got(make: Make) -> None:
    cache = make(10**6)
    assert cache.get(key()) is None
    cache.put(key(), artefact(1), None)
    cache.put(key("face_crop"), artefact(2), None)
    first, second = cache.get(key()), cache.get(key("face_crop"))
    assert first is not None
    assert second is not None
    assert (first.record["value"], second.record["value"]) == (1, 2)
    assert first.arrays["a"].tolist() == [1.0] * 1000
    assert (first.seconds, second.seconds) == (0.25, 0.5)


def test_a_later_value_takes_the_place_of_the_earlier(make: Make) -> None:
    cache = make(10**6)
    cache.put(key(), artefact(1), None)
    cache.put(key(), artefact(2), None)
    found = cache.get(key())
    assert found is not None
    assert found.record["value"] == 2


def test_lifetimes_end(make: Make, clock: Clock) -> None:
    cache = make(10**6)
    cache.put(key(n=1), artefact(1), SECONDS["week"])
    cache.put(key(n=2), artefact(2), SECONDS["month"])
    cache.put(key(n=3), artefact(3), SECONDS["forever"])
    clock.now += 7 * 86_400 - 1
    assert cache.get(key(n=1)) is not None
    clock.now += 2
    assert cache.get(key(n=1)) is None
    assert cache.get(key(n=2)) is not None
    clock.now += 10 * 365 * 86_400
    assert cache.get(key(n=2)) is None
    assert cache.get(key(n=3)) is not None


def test_the_least_recently_used_goes_first(make: Make, clock: Clock) -> None:
    cache = make(50_000)
    for n in range(10):
        cache.put(key(n=n), artefact(n), None)  # 4,000 bytes of array each, with its header under 4,500
        clock.now += 1
    assert cache.get(key(n=0)) is not None
    for n in range(10, 14):
        clock.now += 1
        cache.put(key(n=n), artefact(n), None)
    kept = [n for n in range(14) if cache.get(key(n=n)) is not None]
    assert 0 in kept
    assert 1 not in kept
    assert 13 in kept
    assert 9 <= len(kept) <= 12


def test_what_is_larger_than_the_cache_is_not_kept(make: Make) -> None:
    cache = make(1000)
    cache.put(key(), artefact(1), None)
    assert cache.get(key()) is None


def test_many_threads_may_use_it(make: Make) -> None:
    cache = make(20_000)
    errors: list[BaseException] = []

    def work(offset: int) -> None:
        try:
            for n in range(30):
                cache.put(key(n=(n + offset) % 7), artefact(n), None)
                found = cache.get(key(n=n % 7))
                assert found is None or found.arrays["a"][0] == found.record["value"]
        except BaseException as error:  # noqa: BLE001  to be seen by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("damage", [b"", b"half", b"\0" * 5000])
def test_a_damaged_file_is_a_miss_and_removed(tmp_path: Path, damage: bytes) -> None:
    cache = DirectoryCache(tmp_path, 10**6)
    cache.put(key(), artefact(1), None)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(damage)
    assert cache.get(key()) is None
    assert not file.exists()
    cache.put(key(), artefact(2), None)
    assert cache.get(key()) is not None


def test_files_lie_by_stage_and_image(tmp_path: Path) -> None:
    cache = DirectoryCache(tmp_path, 10**6)
    cache.put(stage_key("face_detection", HASH, None, "mesh", "1.0"), artefact(1), None)
    cache.put(stage_key("face_mesh", HASH, "full", "mesh", "1.0"), artefact(1), None)
    cache.put(speech_features_key(HASH, "mesh", "1.0"), artefact(1), None)
    files = {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()}
    assert files == {
        f"face_detection/{HASH}/mesh/1.0.safetensors",
        f"face_mesh/{HASH}/full/mesh/1.0.safetensors",
        f"motion/{HASH}/mesh/1.0/4.0.safetensors",
    }


def test_another_process_finds_it(tmp_path: Path) -> None:
    DirectoryCache(tmp_path, 10**6).put(key(), artefact(1), None)
    assert DirectoryCache(tmp_path, 10**6).get(key()) is not None


def test_a_folder_that_cannot_be_written_is_told_apart_from_a_miss(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands in the way")
    cache = DirectoryCache(tmp_path / "cache", 10**6)
    assert cache.get(key()) is None
    with pytest.raises(CacheUnavailable, match="cannot write the cache"):
        cache.put(key(), artefact(1), None)


@pytest.mark.parametrize("part", ["", "..", "a/b", "a:b", ".hidden", "a b", "a\n"])
def test_a_key_cannot_leave_its_folder(tmp_path: Path, part: str) -> None:
    with pytest.raises(ValueError, match=r"key|colon"):
        stage_key("face_mesh", part, "full", "mesh", "1.0")
    with pytest.raises(ValueError, match="key"):
        DirectoryCache(tmp_path, 1000).get(f"face_mesh:{part}/x")


def test_keys_differ_by_engine_version_and_mode() -> None:
    keys = {
        stage_key("face_mesh", HASH, mode, engine, version)
        for mode in ("full", "crop", None)
        for engine in ("mesh", "sadtalker")
        for version in ("1", "2")
    }
    assert len(keys) == 12
