"""Downloads: byte ranges, conditional requests, missing videos."""

from __future__ import annotations

import httpx
import pytest
from tests.support.running_api import VIDEO, RunningApi

from sadtalker_service.store.artefact_store import video_name


@pytest.fixture
def path(api: RunningApi, client: httpx.Client) -> str:
    """Address of a finished video."""
    session_id = api.accepted(client)
    api.make(session_id)
    return f"/api/vip/download/{session_id}"


def test_range_of_a_video(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"Range": "bytes=100-199"})
    assert answer.status_code == 206
    assert answer.content == VIDEO[100:200]
    assert answer.headers["content-range"] == f"bytes 100-199/{len(VIDEO)}"
    assert answer.headers["content-length"] == "100"


def test_ranges_of_a_video_make_the_whole(client: httpx.Client, path: str) -> None:
    pieces = [
        client.get(path, headers={"Range": f"bytes={first}-{first + 999}"}).content
        for first in range(0, len(VIDEO), 1000)
    ]
    assert b"".join(pieces) == VIDEO


def test_range_outside_the_video(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"Range": f"bytes={len(VIDEO)}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(VIDEO)}"
    assert answer.json()["error"]["code"] == "range_not_satisfiable"


def test_head_describes_the_file_without_sending_it(client: httpx.Client, path: str) -> None:
    answer = client.head(path)
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["content-length"] == str(len(VIDEO))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == client.get(path).headers["etag"]


def test_unchanged_video_is_not_sent_again(client: httpx.Client, path: str) -> None:
    etag = client.head(path).headers["etag"]
    answer = client.get(path, headers={"If-None-Match": f'"other", {etag}'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_range_of_a_different_file_gets_the_whole_video(client: httpx.Client, path: str) -> None:
    etag = client.head(path).headers["etag"]
    part = {"Range": "bytes=0-9"}
    assert client.get(path, headers={**part, "If-Range": etag}).status_code == 206
    whole = client.get(path, headers={**part, "If-Range": '"another"'})
    assert (whole.status_code, whole.content) == (200, VIDEO)


def test_removed_video_is_not_found(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    session = api.make(session_id)
    api.services.artefacts.delete(video_name(session.result_key))
    answer = client.get(f"/api/vip/download/{session_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_unfinished_video_reports_its_state(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    answer = client.get(f"/api/vip/download/{session_id}")
    assert (answer.status_code, answer.json()["status"]) == (409, "queued")
    assert answer.json()["error"]["code"] == "not_ready"
    api.begin(session_id)
    assert client.get(f"/api/vip/download/{session_id}").json()["status"] == "generating"


def test_slow_client_gets_the_whole_video(api: RunningApi, client: httpx.Client) -> None:
    video = VIDEO * 300  # more than all buffers on the way hold
    session_id = api.accepted(client)
    api.make(session_id, video)
    with client.stream("GET", f"/api/vip/download/{session_id}") as answer:
        assert b"".join(answer.iter_bytes(7_777)) == video
