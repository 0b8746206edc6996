"""Cached artefacts are not computed again, equal work is done once, and lookups are counted."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.support.servers import StoreServer

from sadtalker_service.domain import Artefact, SourceImage, Speech
from sadtalker_service.errors import Cancelled
from sadtalker_service.options import RenderOptions
from sadtalker_service.pipeline.cached import CachedComputation, CacheTerms, WindowsLog
from sadtalker_service.pipeline.pipeline import Pipeline
from sadtalker_service.store.cache import ArtefactCache, MemoryCache
from sadtalker_service.store.connections import connect
from sadtalker_service.store.directory import DirectoryCache
from sadtalker_service.store.redis_cache import RedisCache
from sadtalker_service.store.redis_single_flight import RedisSingleFlight

KEY = "face_mesh:" + "ab" * 32 + ":full:mesh:1"
MADE = Artefact({"a": np.arange(6.0)}, {"b": 1})


class Clock:
    """A clock that advances by a tenth of a second at each call."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


@pytest.fixture(params=["memory", "directory", "redis"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtefactCache]:
    if request.param == "memory":
        yield MemoryCache(10**6)
    elif request.param == "directory":
        yield DirectoryCache(tmp_path, 10**6)
    else:
        yield RedisCache(request.getfixturevalue("cache_server").client())


def test_a_hit_saves_what_the_miss_took(cache: ArtefactCache) -> None:
    clock = Clock()

    def compute() -> Artefact:
        clock.now += 2.0
        return MADE

    first = CachedComputation(cache, clock=clock)
    assert first.artefact("face_mesh", KEY, "week", compute).seconds == pytest.approx(2.1)
    assert first.log.saved_seconds == 0
    again = CachedComputation(cache, clock=clock)
    found = again.artefact("face_mesh", KEY, "week", compute)
    assert (dict(found.record), found.arrays["a"].tolist()) == ({"b": 1}, list(range(6)))
    assert again.log.saved_seconds == pytest.approx(2.1 - 0.1)
    assert (first.log.misses, again.log.hits) == (["face_mesh"], ["face_mesh"])


def test_an_artefact_that_loads_slower_than_it_computes_saves_nothing(cache: ArtefactCache) -> None:
    CachedComputation(cache, clock=lambda: 0.0).artefact("face_mesh", KEY, "week", lambda: MADE)
    again = CachedComputation(cache, clock=Clock())
    again.artefact("face_mesh", KEY, "week", lambda: MADE)
    assert again.log.saved_seconds == 0


def test_every_lookup_is_reported(cache: ArtefactCache) -> None:
    told: list[tuple[str, bool]] = []
    terms = CacheTerms(on_lookup=lambda kind, hit: told.append((kind, hit)))
    for _ in range(2):
        CachedComputation(cache, terms).artefact("face_mesh", KEY, "week", lambda: MADE)
    assert told == [("face_mesh", False), ("face_mesh", True)]


def test_lifetimes_are_those_of_the_terms(cache_server: StoreServer) -> None:
    client = cache_server.client()
    terms = CacheTerms(lifetimes={"forever": None, "month": 500.0, "week": 100.0})
    CachedComputation(RedisCache(client), terms).artefact("face_mesh", KEY, "week", lambda: MADE)
    assert 90 < client.ttl(KEY) <= 100


def test_equal_work_in_two_processes_is_done_once(cache_server: StoreServer) -> None:
    began, computed = threading.Event(), []

    def compute() -> Artefact:
        computed.append(1)
        began.set()
        assert waiting.wait(10)
        return MADE

    waiting = threading.Event()
    terms = CacheTerms(single_flight=RedisSingleFlight(cache_server.client()), on_wait=waiting.set)
    with ThreadPoolExecutor(2) as pool:
        one, two = (CachedComputation(RedisCache(cache_server.client()), terms) for _ in range(2))
        first = pool.submit(one.artefact, "face_mesh", KEY, "week", compute)
        assert began.wait(10)
        second = pool.submit(two.artefact, "face_mesh", KEY, "week", compute)
        assert first.result(20).arrays["a"].tolist() == second.result(20).arrays["a"].tolist()
    assert computed == [1]
    assert (one.log.misses, two.log.hits) == (["face_mesh"], ["face_mesh"])


def test_a_waiter_computes_if_the_other_process_fails(cache_server: StoreServer) -> None:
    began, waiting = threading.Event(), threading.Event()

    def fail() -> Artefact:
        began.set()
        assert waiting.wait(10)
        raise ArithmeticError

    terms = CacheTerms(single_flight=RedisSingleFlight(cache_server.client()), on_wait=waiting.set)
    cache = RedisCache(cache_server.client())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(CachedComputation(cache, terms).artefact, "face_mesh", KEY, "week", fail)
        assert began.wait(10)
        second = pool.submit(CachedComputation(cache, terms).artefact, "face_mesh", KEY, "week", lambda: MADE)
        assert second.result(20).arrays["a"].tolist() == list(range(6))
        assert isinstance(first.exception(20), ArithmeticError)


def test_waiting_ends_when_the_job_is_cancelled(cache_server: StoreServer) -> None:
    def cancel() -> None:
        raise Cancelled("stopped on request")

    single_flight = RedisSingleFlight(cache_server.client())
    computation = CachedComputation(
        RedisCache(cache_server.client()), CacheTerms(single_flight=single_flight, on_wait=cancel)
    )
    with single_flight.acquire(KEY), pytest.raises(Cancelled):
        computation.artefact("face_mesh", KEY, "week", lambda: MADE)


def test_work_continues_without_the_server_and_reports_the_reason(
    engine, source_image: SourceImage, speech: Speech, tmp_path: Path, cache_server: StoreServer
) -> None:
    client = connect(cache_server.url, retries=False)
    cache, terms = RedisCache(client), CacheTerms(single_flight=RedisSingleFlight(client))
    cache_server.kill()
    prepared = Pipeline(engine, cache, terms=terms).prepare(source_image, RenderOptions())
    report = Pipeline(engine, cache, terms=terms).render(
        prepared, speech, RenderOptions(), tmp_path / "v.mp4"
    )
    assert report.frames == 50
    assert report.cache_misses == ("face_detection", "face_mesh", "motion")
    assert any("does not answer" in warning for warning in report.warnings)


# ---------------------------------------------------------------------- windows of two at once


class Recording:
    """Windows that are computed one by one, as those of a recording."""

    def __init__(self, server: StoreServer) -> None:
        self.client = server.client()
        self.computed = 0

    def windows(self, log: WindowsLog, seen: CachedComputation, last: int = 4) -> Generator[Artefact]:
        def compute() -> Iterator[Artefact]:
            for number in range(last):
                self.computed += 1
                yield Artefact({"a": np.full(3, float(number))}, {})
            log.warnings = ("quiet",)

        yield from seen.windows("motion", KEY, "week", compute, log)

    def user(self, clock: Clock | None = None) -> CachedComputation:
        terms = CacheTerms(single_flight=RedisSingleFlight(self.client))
        return CachedComputation(RedisCache(self.client), terms, *([clock] if clock else []))


def numbers(windows: Iterator[Artefact]) -> list[float]:
    return [float(window.arrays["a"][0]) for window in windows]


def test_equal_recordings_at_once_are_heard_once_and_nobody_waits_for_the_end(
    cache_server: StoreServer,
) -> None:
    recording = Recording(cache_server)
    one, two, logs = recording.user(), recording.user(), [WindowsLog(), WindowsLog()]
    leading, following = recording.windows(logs[0], one), recording.windows(logs[1], two)
    # the second one gets each window as soon as the first one has made it
    for number in range(3):
        assert numbers(iter([next(leading)])) == [number]
        assert numbers(iter([next(following)])) == [number]
    assert numbers(leading) == [3.0]
    assert numbers(following) == [3.0]
    assert recording.computed == 4
    assert [log.warnings for log in logs] == [("quiet",), ("quiet",)]
    assert (one.log.hits, one.log.misses) == ([], ["motion"])
    assert (two.log.hits, two.log.misses) == (["motion"], [])
    third = recording.user()
    assert numbers(recording.windows(WindowsLog(), third)) == [0.0, 1.0, 2.0, 3.0]
    assert third.log.hits == ["motion"]


def test_who_follows_goes_on_alone_when_the_other_one_gives_up(cache_server: StoreServer) -> None:
    recording = Recording(cache_server)
    leading = recording.windows(WindowsLog(), recording.user())
    following = recording.windows(WindowsLog(), recording.user())
    next(leading)
    next(leading)
    assert numbers(iter([next(following)])) == [0.0]
    leading.close()  # cancelled
    assert numbers(following) == [1.0, 2.0, 3.0]
    assert numbers(recording.windows(WindowsLog(), recording.user())) == [0.0, 1.0, 2.0, 3.0]


def test_who_follows_does_not_wait_long_for_one_who_is_slower(cache_server: StoreServer) -> None:
    recording = Recording(cache_server)
    leading = recording.windows(WindowsLog(), recording.user())
    next(leading)  # and then it draws for a long time
    impatient = recording.user(Clock())
    assert numbers(recording.windows(WindowsLog(), impatient)) == [0.0, 1.0, 2.0, 3.0]
    assert impatient.log.misses == ["motion"]
    assert numbers(leading) == [1.0, 2.0, 3.0]


def test_who_follows_can_be_cancelled(cache_server: StoreServer) -> None:
    recording = Recording(cache_server)
    leading = recording.windows(WindowsLog(), recording.user())
    next(leading)

    def stopped() -> None:
        raise Cancelled("stopped")

    terms = CacheTerms(single_flight=RedisSingleFlight(recording.client), on_wait=stopped)
    computation = CachedComputation(RedisCache(recording.client), terms)
    with pytest.raises(Cancelled):
        numbers(recording.windows(WindowsLog(), computation))
    leading.close()
