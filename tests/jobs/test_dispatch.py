"""Messages to workers: their queue, their content, and an unavailable broker."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers import StoreServer

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.jobs.celery_app import make_app
from sadtalker_service.jobs.dispatch import CeleryDispatch
from sadtalker_service.jobs.queues import GENERATE_TASK, PREPARE_TASK
from sadtalker_service.jobs.time_limit import longest_job
from sadtalker_service.options import RenderOptions
from sadtalker_service.settings import Settings
from sadtalker_service.state.records import Session, VideoSpec

SESSION = Session(
    "s-1", "standard", VideoSpec("a" * 64, "b" * 64, RenderOptions(), "pattern", "1", 10.0), "c" * 64, 1.0
)


def settings(server: StoreServer, folder: Path) -> Settings:
    return Settings(
        _env_file=None,
        data_dir=folder,
        queue_url=server.url,
        redis_url=server.url,
        job_base_seconds=100,
        job_seconds_per_second=6,
    )


@pytest.fixture
def dispatch(queue_server: StoreServer, tmp_path: Path) -> CeleryDispatch:
    chosen = settings(queue_server, tmp_path)
    return CeleryDispatch(make_app(chosen), chosen)


def message(server: StoreServer, queue: str) -> tuple[dict[str, Any], Any]:
    """Headers and arguments of the only message in a queue."""
    (text,) = server.client().lrange(queue, 0, -1)
    read = json.loads(text)
    return read["headers"], json.loads(base64.b64decode(read["body"]))[0]


def test_each_lane_has_its_queue(dispatch: CeleryDispatch, queue_server: StoreServer) -> None:
    dispatch.generate(SESSION)
    dispatch.generate(replace(SESSION, session_id="s-2", lane="vip"))
    headers, arguments = message(queue_server, "normal")
    assert (headers["task"], arguments) == (GENERATE_TASK, ["s-1"])
    assert message(queue_server, "vip")[1] == ["s-2"]


def test_a_restarted_session_goes_first(dispatch: CeleryDispatch, queue_server: StoreServer) -> None:
    dispatch.generate(replace(SESSION, started_at=2.0))
    assert message(queue_server, "again")[1] == ["s-1"]
    assert queue_server.client().llen("normal") == 0


def test_preparations_have_their_own_queue(dispatch: CeleryDispatch, queue_server: StoreServer) -> None:
    dispatch.prepare("a" * 64, "crop")
    headers, arguments = message(queue_server, "prepare")
    assert (headers["task"], arguments) == (PREPARE_TASK, ["a" * 64, "crop"])


def test_time_limit_grows_with_the_length(dispatch: CeleryDispatch, queue_server: StoreServer) -> None:
    dispatch.generate(SESSION)
    assert message(queue_server, "normal")[0]["timelimit"][0] == 160.0


def test_a_slow_engine_has_more_time(dispatch: CeleryDispatch, queue_server: StoreServer) -> None:
    dispatch.generate(replace(SESSION, spec=replace(SESSION.spec, timeout_factor=2.5)))
    assert message(queue_server, "normal")[0]["timelimit"][0] == 400.0


def test_messages_are_not_redelivered_during_the_longest_job(
    queue_server: StoreServer, tmp_path: Path
) -> None:
    chosen = settings(queue_server, tmp_path)
    options = make_app(chosen).conf.broker_transport_options
    assert options["visibility_timeout"] > longest_job(chosen)


def test_only_json_is_accepted(queue_server: StoreServer, tmp_path: Path) -> None:
    assert make_app(settings(queue_server, tmp_path)).conf.accept_content == ["json"]


def test_unavailable_broker_is_reported_at_once_and_used_again_later(
    dispatch: CeleryDispatch, queue_server: StoreServer
) -> None:
    dispatch.generate(SESSION)
    queue_server.kill()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        dispatch.generate(SESSION)
    assert time.monotonic() - start < 10
    assert caught.value.retry_after is not None
    queue_server.start()
    before = queue_server.client().llen("normal")
    dispatch.generate(SESSION)
    assert queue_server.client().llen("normal") == before + 1
