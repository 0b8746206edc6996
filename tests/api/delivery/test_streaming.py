"""The stream of a video while it is rendered, and afterwards."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from tests.support.running_api import RunningApi, audio_bytes

from sadtalker_service.media.fragments import refragment
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.store.media_stream import MediaStream

FRAMES = 50


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small mp4."""
    path = tmp_path_factory.mktemp("video") / "v.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        track = out.add_stream("libx264", rate=25)
        track.width = track.height = 64
        track.pix_fmt = "yuv420p"
        track.time_base = Fraction(1, 25)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 5 * number, np.uint8), "rgb24")
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return path.read_bytes()


@pytest.fixture(scope="module")
def pieces(video: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The same video as a worker sends it."""
    path = tmp_path_factory.mktemp("pieces") / "v.mp4"
    path.write_bytes(video)
    return list(refragment(path))


def frames_in(stream: bytes) -> int:
    with av.open(io.BytesIO(stream)) as container:
        return len([*container.decode(video=0)])


def test_finished_video_is_streamed_in_fragments(api: RunningApi, client: httpx.Client, video: bytes) -> None:
    session_id = api.accepted(client)
    api.make(session_id, video)
    answer = client.get(f"/api/vip/stream/{session_id}")
    assert answer.headers["content-type"] == "video/mp4"
    assert b"moof" in answer.content
    assert frames_in(answer.content) == FRAMES


def test_video_is_streamed_while_it_is_rendered(
    api: RunningApi, client: httpx.Client, video: bytes, pieces: list[bytes]
) -> None:
    session_id = api.accepted(client)
    session = api.begin(session_id)
    stream = MediaStream(api.services.cache_client, session_id, session.attempt, session.spec.image_id)
    stream.write(pieces[0])
    stream.write(pieces[1])
    got = b""
    with client.stream("GET", f"/api/vip/stream/{session_id}") as answer:
        for chunk in answer.iter_bytes():
            got += chunk
            if got == pieces[0] + pieces[1]:  # these have arrived although the rest does not exist yet
                with stream:
                    for piece in pieces[2:]:
                        stream.write(piece)
    assert got == b"".join(pieces)


def test_stream_waits_for_the_start_of_the_job(
    api: RunningApi, client: httpx.Client, video: bytes, pieces: list[bytes]
) -> None:
    session_id = api.accepted(client)

    def work() -> None:
        time.sleep(0.4)
        session = api.begin(session_id)
        with MediaStream(
            api.services.cache_client, session_id, session.attempt, session.spec.image_id
        ) as stream:
            for piece in pieces:
                stream.write(piece)

    worker = threading.Thread(target=work)
    worker.start()
    answer = client.get(f"/api/vip/stream/{session_id}")
    worker.join()
    assert answer.status_code == 200
    assert answer.content == b"".join(pieces)


def test_session_that_shares_work_streams_it(
    api: RunningApi, client: httpx.Client, pieces: list[bytes]
) -> None:
    first = api.accepted(client, audio_bytes(1))
    session = api.begin(first)
    second = api.accepted(client, audio_bytes(1))
    assert second != first
    with MediaStream(api.services.cache_client, first, session.attempt, session.spec.image_id) as stream:
        for piece in pieces:
            stream.write(piece)
    assert client.get(f"/api/vip/stream/{second}").content == b"".join(pieces)


def test_attempt_that_broke_before_its_first_byte_is_invisible(
    api: RunningApi, client: httpx.Client, video: bytes
) -> None:
    session_id = api.accepted(client)
    session = api.begin(session_id)
    stream = MediaStream(api.services.cache_client, session_id, session.attempt, session.spec.image_id)
    with pytest.raises(RuntimeError), stream:
        raise RuntimeError("the worker fails")
    threading.Timer(0.5, lambda: api.finish(session, video)).start()
    assert frames_in(client.get(f"/api/vip/stream/{session_id}").content) == FRAMES


def test_broken_stream_ends_without_a_proper_end(
    api: RunningApi, client: httpx.Client, pieces: list[bytes]
) -> None:
    session_id = api.accepted(client)
    session = api.begin(session_id)
    stream = MediaStream(api.services.cache_client, session_id, session.attempt, session.spec.image_id)

    def half() -> Iterator[None]:
        with stream:
            stream.write(pieces[0])
            yield
            raise RuntimeError("the worker fails")

    work = half()
    next(work)
    with client.stream("GET", f"/api/vip/stream/{session_id}") as answer:
        received = answer.iter_bytes()
        assert next(received) == pieces[0]
        with pytest.raises(RuntimeError):
            next(work)
        with pytest.raises(httpx.RemoteProtocolError):  # no proper end of the body
            list(received)


def test_stream_of_a_session_without_a_video(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    api.fail(api.begin(session_id))
    answer = client.get(f"/api/vip/stream/{session_id}")
    assert (answer.status_code, answer.json()["status"]) == (409, "failed")


def test_stream_of_a_waiting_session_that_is_cancelled(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    threading.Timer(0.3, lambda: api.services.video_service.cancel(session_id)).start()
    answer = client.get(f"/api/vip/stream/{session_id}")
    assert (answer.status_code, answer.json()["status"]) == (409, "cancelled")


def test_stream_of_a_removed_video(api: RunningApi, client: httpx.Client, video: bytes) -> None:
    session_id = api.accepted(client)
    session = api.make(session_id, video)
    api.services.artefacts.delete(video_name(session.result_key))
    assert client.get(f"/api/vip/stream/{session_id}").status_code == 404


def test_waiting_request_of_a_disconnected_client_ends(api: RunningApi, client: httpx.Client) -> None:
    session_id = api.accepted(client)
    before = connected(api)
    with pytest.raises(httpx.ReadTimeout):
        client.get(f"/api/vip/stream/{session_id}", timeout=0.5)
    until = time.monotonic() + 15
    while blocked(api) and time.monotonic() < until:
        time.sleep(0.1)
    assert blocked(api) == 0
    assert connected(api) <= before + 3


def blocked(api: RunningApi) -> int:
    """Connections that block on the queue server for an event."""
    return int(api.services.queue.info("clients")["blocked_clients"])


def connected(api: RunningApi) -> int:
    return int(api.services.queue.info("clients")["connected_clients"])


def test_path_traversal_in_media_routes(client: httpx.Client, tmp_path: Path) -> None:
    for name in ("..%2f..%2fetc%2fpasswd", "%00", "a" * 5000, str(tmp_path)):
        assert client.get(f"/api/vip/stream/{name}").status_code == 404
