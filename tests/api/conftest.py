"""One running API per test file, with empty servers for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.running_api import RunningApi, running_api
from tests.support.servers import StoreServer

from sadtalker_service.settings import Settings


@pytest.fixture(scope="module")
def api_settings(
    tmp_path_factory: pytest.TempPathFactory, _queue_store: StoreServer, _cache_store: StoreServer
) -> Settings:
    """Small limits, so that tests reach them."""
    return Settings(
        data_dir=tmp_path_factory.mktemp("data"),
        redis_url=_cache_store.url,
        queue_url=_queue_store.url,
        max_image_bytes=300_000,
        max_image_pixels=1_000_000,
        max_audio_bytes=600_000,
        max_audio_seconds=10,
        max_waiting=3,
        upload_timeout_seconds=2,
    )


@pytest.fixture(scope="module")
def _api(api_settings: Settings) -> Iterator[RunningApi]:
    with running_api(api_settings) as api:
        yield api


@pytest.fixture
def api(_api: RunningApi, queue_server: StoreServer, cache_server: StoreServer) -> RunningApi:
    """An API with a worker whose engine is loaded, and without any requests so far."""
    _emptied(_api.services.settings.data_dir / "artefacts")
    _api.tickets.generated.clear()
    _api.tickets.prepared.clear()
    _api.app.state.health.forget()
    _api.services.queue_stats_cache.forget()
    _api.work()
    return _api


@pytest.fixture
def client(api: RunningApi) -> Iterator[httpx.Client]:
    """A client of the API."""
    with api.client() as client:
        yield client


def _emptied(folder: Path) -> None:
    for below in folder.glob("*"):
        shutil.rmtree(below)
