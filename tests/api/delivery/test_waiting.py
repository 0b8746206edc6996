"""`?wait=SECONDS`: the response comes when the work has ended or the time is up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.running_api import VIDEO, RunningApi, audio_bytes, image_bytes, sha256
from tests.support.running_service import until
from tests.support.shell import Shell

LONG = 30
"""Seconds; longer than anything here takes, so no response comes from the timeout."""
CLIENTS = 200


@contextmanager
def meanwhile(act: Callable[[], object]) -> Iterator[None]:
    """Context manager that runs `act` in a thread and raises what it raised."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(LONG)
    assert not thread.is_alive()
    for failure in failures:
        raise failure


def waited_for(api: RunningApi) -> None:
    """Return when a client is waiting for events on the server."""
    until(lambda: api.services.queue.info("clients")["blocked_clients"] > 0, "a waiting client")


def test_status_is_sent_when_the_video_is_ready(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)

    def make() -> None:
        waited_for(api)
        api.make(session_id)

    with meanwhile(make):
        answer = client.get(f"/api/vip/status/{session_id}", params={"wait": LONG}, timeout=2 * LONG)
    assert answer.json()["status"] == "ready"


def test_download_waits_for_the_video_and_sends_it(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)

    def make() -> None:
        waited_for(api)
        api.make(session_id)

    with meanwhile(make):
        answer = client.get(f"/api/vip/download/{session_id}", params={"wait": LONG}, timeout=2 * LONG)
    assert (answer.status_code, answer.content) == (200, VIDEO)


def test_failure_and_cancellation_end_the_wait(api: RunningApi, client: httpx.Client) -> None:
    failing = api.begin(api.accepted(client, audio_bytes(1)))
    cancelled = api.accepted(client, audio_bytes(2))

    def end() -> None:
        waited_for(api)
        api.fail(failing)
        assert api.client().delete(f"/api/vip/session/{cancelled}").status_code == 202

    with meanwhile(end):
        first = client.get(f"/api/vip/download/{failing.session_id}", params={"wait": LONG}, timeout=2 * LONG)
    assert (first.status_code, first.json()["status"]) == (409, "failed")
    assert first.json()["error"]["retryable"] is False
    assert "Retry-After" not in first.headers
    second = client.get(f"/api/vip/status/{cancelled}", params={"wait": LONG}, timeout=2 * LONG)
    assert second.json()["status"] == "cancelled"


def test_timeout_returns_the_current_state(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    begun = time.monotonic()
    status = client.get(f"/api/vip/status/{session_id}", params={"wait": 0.5})
    assert time.monotonic() - begun >= 0.5
    assert (status.status_code, status.json()["status"]) == (200, "queued")
    download = client.get(f"/api/vip/download/{session_id}", params={"wait": "0.2"})
    error = download.json()["error"]
    assert (download.status_code, error["code"], error["retryable"]) == (409, "not_ready", True)
    assert int(download.headers["Retry-After"]) >= 1


def test_wait_for_an_avatar(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    path = f"/api/avatar/status/{image_id}"
    assert client.get(path, params={"wait": 0.3}).json()["status"] == "processing"
    with meanwhile(lambda: api.prepare(image_id)):
        assert client.get(path, params={"wait": LONG}, timeout=2 * LONG).json()["status"] == "ready"
    refused = api.upload(client, image_bytes(5))["image_id"]
    with meanwhile(lambda: api.refuse(refused)):
        answer = client.get(f"/api/avatar/status/{refused}", params={"wait": LONG}, timeout=2 * LONG)
    assert answer.json()["status"] == "failed"


def test_ended_and_unknown_sessions_are_answered_at_once(api: RunningApi, client: httpx.Client) -> None:
    ready = api.accepted(client)
    api.make(ready)
    nobody = "00000000-0000-4000-8000-000000000000"
    begun = time.monotonic()
    assert client.get(f"/api/vip/status/{ready}", params={"wait": LONG}).json()["status"] == "ready"
    assert client.get(f"/api/vip/status/{nobody}", params={"wait": LONG}).status_code == 404
    assert client.get(f"/api/avatar/status/{sha256(b'nobody')}", params={"wait": LONG}).status_code == 404
    assert time.monotonic() - begun < LONG


@pytest.mark.parametrize("wait", ["-1", "60.5", "soon", "nan", "inf"])
def test_wait_is_bounded(api: RunningApi, client: httpx.Client, wait: str) -> None:
    session_id = api.accepted(client)
    for path in (f"/api/vip/status/{session_id}", f"/api/vip/download/{session_id}"):
        answer = client.get(path, params={"wait": wait})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "wait")


def test_many_waiting_clients_share_one_connection(api: RunningApi, client: httpx.Client) -> None:
    sessions = [api.accepted(client, audio_bytes(seed)) for seed in range(3)]
    image_id = api.upload(client, image_bytes(7))["image_id"]
    before = api.services.queue.info("clients")["connected_clients"]

    async def wait_all() -> tuple[list[str], int]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=api.url, timeout=2 * LONG, limits=limits) as own:

            async def state(path: str) -> str:
                answer = await own.get(path, params={"wait": LONG})
                return str(answer.raise_for_status().json()["status"])

            paths = [f"/api/vip/status/{sessions[number % 3]}" for number in range(CLIENTS)]
            coming = asyncio.gather(*map(state, [*paths, f"/api/avatar/status/{image_id}"]))
            crowd = api.services.endings
            while crowd.waiting < CLIENTS + 1:
                await asyncio.sleep(0.02)
            asked = (await own.get(f"/api/vip/status/{sessions[0]}")).json()
            assert asked["status"] == "queued", "others are served meanwhile"
            connected = api.services.queue.info("clients")["connected_clients"]
            for session_id in sessions:
                api.make(session_id)
            api.prepare(image_id)
            return await coming, connected

    states, connected = asyncio.run(wait_all())
    assert states == ["ready"] * (CLIENTS + 1)
    assert connected - before < 20, "as many as threads and polls take, not one for each client"
    until(lambda: api.services.endings.waiting == 0, "no waiting client")


def test_curl_reports_a_missing_video_and_keeps_no_file(
    api: RunningApi, client: httpx.Client, tmp_path: Path
) -> None:
    """The third command of the README, if the video is not ready in time."""
    session_id = api.accepted(client)
    url = f"{api.url}/api/vip/download/{session_id}?wait=0.1"
    said = Shell(tmp_path, api.url).run(f'curl -sSf -o talking.mp4 "{url}" 2>&1 || echo "ended: $?"')
    assert "409" in said
    assert "ended: 22" in said
    assert not (tmp_path / "talking.mp4").exists()


def test_wait_for_one_face_ends_with_that_face(api: RunningApi, client: httpx.Client) -> None:
    image_id = api.upload(client)["image_id"]
    api.upload(client, face_index="1")
    api.prepare(image_id)

    def make() -> None:
        until(lambda: api.services.endings.waiting > 0, "a waiting client")
        api.prepare(image_id, face_index=1)

    query = {"wait": LONG, "face_index": 1}
    with meanwhile(make):
        answer = client.get(f"/api/avatar/status/{image_id}", params=query, timeout=2 * LONG)
    assert (answer.json()["status"], answer.json()["face_index"]) == ("ready", 1)
