"""Live sessions on the real service: sound in, video out, and every fault with its answer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import aiortc
import httpx
import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from tests.service.conftest import LIVE_IDLE, LIVE_QUEUE
from tests.support.live import ENOUGH, EXAMPLES, Event, LiveClient, decoded, speech, start, upload
from tests.support.running_service import Role, RunningService, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=ENOUGH) as client:
        yield client


@pytest.fixture(scope="module")
def image_id(service: RunningService) -> str:
    with httpx.Client(base_url=service.url, timeout=ENOUGH) as client:
        return upload(client)


@pytest.fixture
def session(client: httpx.Client, image_id: str) -> Iterator[Event]:
    """A session that waits for its client; ended afterwards."""
    record = start(client, image_id)
    yield record
    client.delete(record["links"]["end"])


@pytest.fixture
def live(service: RunningService, session: Event) -> Iterator[LiveClient]:
    """An open session whose picture has begun."""
    with LiveClient(service.url, session) as live:
        live.connected()
        yield live


def status(client: httpx.Client, record: Event) -> Event:
    answer: Event = client.get(record["links"]["status"]).json()
    return answer


def until_free(client: httpx.Client, image_id: str) -> None:
    """Wait until a session can be started."""
    taken: list[Event] = []

    def there() -> bool:
        answer = client.post("/api/live", json={"image_id": image_id, "preprocess_mode": "crop"})
        if answer.status_code == 201:
            taken.append(answer.json())
        return bool(taken)

    until(there, "a free slot")
    client.delete(taken[0]["links"]["end"])


def heard(sound: NDArray[np.float32], pcm: bytes, rate: int) -> tuple[float, float]:
    """Where what was said begins in `sound`, seconds, and how alike they are, 0..1."""
    said = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    said = soxr.resample(said, rate, 16_000)
    sound = soxr.resample(sound, 48_000, 16_000)
    size = len(sound) + len(said)
    product = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(said, size)), size)
    at = int(np.argmax(product[: len(sound)]))
    piece = sound[at : at + len(said)]
    return at / 16_000, float(product[at] / np.linalg.norm(said) / np.linalg.norm(piece))


# ---------------------------------------------------------------------- what works


def test_sound_in_video_out(client: httpx.Client, session: Event, live: LiveClient) -> None:
    said = live.event("session.state_updated", state="connected")
    assert (said["width"], said["height"], said["fps"]) == (128, 128, 25)
    assert said["media_type"].startswith('video/mp4; codecs="avc1.')
    live.read_until(lambda: live.binary > 60, "a second of idling")
    pcm, rate = speech(1.0)
    live.speak(pcm, rate, "one")
    started = live.event("agent.speak_started")
    assert started["event_id"] == "one"
    assert 0 < started["latency_ms"] < 60_000
    assert live.event("agent.speak_ended") == {
        "type": "agent.speak_ended",
        "event_id": "one",
        "interrupted": False,
    }
    figures = status(client, session)
    assert figures["status"] == "connected"
    live.send("session.close")
    assert live.wait_closed()["reason"] == "ended_by_client"
    assert live.closed == (1000, "ended_by_client")
    pictures, sound = decoded(bytes(live.video))
    assert b"Synthetic media" in bytes(live.video[:4_000]), "the stream says that it is synthetic"
    begin, alike = heard(sound, pcm, rate)
    assert alike > 0.9
    at = round(25 * begin)
    # the lower face moves more while it speaks than before
    change = np.abs(np.diff(pictures.astype(int), axis=0))[:, 70:115, 30:98].mean(axis=(1, 2))
    assert change[at : at + 25].mean() > 1.3 * change[1 : at - 2].mean()
    assert len(pictures) / 25 == pytest.approx(len(sound) / 48_000, abs=0.12)
    ended = status(client, session)
    assert (ended["status"], ended["reason"], ended["resume"]) == ("closed", "ended_by_client", None)
    assert ended["frames"] >= len(pictures)


@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_other_sample_rates(live: LiveClient, rate: int) -> None:
    pcm, own = speech(0.6)
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    other = (soxr.resample(samples, own, rate) * 32767).astype("<i2").tobytes()
    live.speak(other, rate, "x")
    live.event("agent.speak_ended")
    _, alike = heard(decoded(bytes(live.video))[1], other, rate)
    assert alike > 0.85


def test_binary_messages_are_sound_and_the_end_needs_no_event(live: LiveClient) -> None:
    pcm, rate = speech(0.5)
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    live.connection.send((soxr.resample(samples, rate, 24_000) * 32767).astype("<i2").tobytes())
    live.event("agent.speak_started")
    # the sound has stopped without a word: the utterance ends by itself
    assert live.event("agent.speak_ended")["interrupted"] is False


def test_interruption_drops_what_waits(live: LiveClient) -> None:
    pcm, rate = speech(3.0)
    live.speak(pcm, rate, "long")
    live.event("agent.speak_started")
    live.send("agent.interrupt")
    ended = live.event("agent.speak_ended")
    assert (ended["event_id"], ended["interrupted"]) == ("long", True)
    before = len(decoded(bytes(live.video))[1])
    live.read_until(lambda: live.binary % 10 == 0, "more pictures")
    assert np.abs(decoded(bytes(live.video))[1][before + 9_600 :]).max(initial=0.0) < 0.01


def test_text_is_spoken_and_the_visitor_is_listened_to(live: LiveClient) -> None:
    live.send("agent.start_listening", level=0.7)
    live.send("agent.stop_listening")
    live.send("agent.say", text="Hello there.", event_id="greeting")
    assert live.event("agent.speak_started")["event_id"] == "greeting"
    assert live.event("agent.speak_ended")["interrupted"] is False
    assert np.abs(decoded(bytes(live.video))[1]).max() > 0.05
    live.send("agent.say", text="Hello", voice="nobody")
    assert live.error("invalid_option")["param"] == "voice"


def test_picture_over_webrtc(client: httpx.Client, service: RunningService, session: Event) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        client.post(session["links"]["offer"], json={"type": "offer", "sdp": "v=0"}).raise_for_status()
    session["links"]["websocket"] += "&video=off"
    with LiveClient(service.url, session) as live:
        assert live.event("session.state_updated", state="connected")["media_type"] is None
        pcm, rate = speech(2.0)
        live.speak(pcm, rate, "seen")
        shapes, samples = asyncio.run(watch_over_webrtc(client, session))
        live.event("agent.speak_started", event_id="seen")
        assert shapes == {(128, 128, 3)}
        assert samples > 0
        assert live.binary == 0
        refused = client.post(session["links"]["offer"], json={"type": "offer", "sdp": "nonsense"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, "sdp")
    wrong = session["links"]["offer"].partition("?")[0]
    assert client.post(wrong, json={"type": "offer", "sdp": "v=0"}).status_code == 401


async def watch_over_webrtc(client: httpx.Client, session: Event) -> tuple[set[tuple[int, ...]], int]:
    """Shapes of ten pictures, and samples of ten pieces of sound."""
    viewer, tracks = aiortc.RTCPeerConnection(), {}
    viewer.on("track", lambda track: tracks.update({track.kind: track}))
    for kind in ("video", "audio"):
        viewer.addTransceiver(kind, direction="recvonly")
    await viewer.setLocalDescription(await viewer.createOffer())
    body = {"type": "offer", "sdp": viewer.localDescription.sdp}
    answer = await asyncio.to_thread(client.post, session["links"]["offer"], json=body)
    assert answer.status_code == 200, answer.text
    await viewer.setRemoteDescription(aiortc.RTCSessionDescription(**answer.json()))
    try:
        async with asyncio.timeout(ENOUGH):
            pictures = [await tracks["video"].recv() for _ in range(10)]
            pieces = [await tracks["audio"].recv() for _ in range(10)]
    finally:
        await viewer.close()
    return {p.to_ndarray(format="rgb24").shape for p in pictures}, sum(p.samples for p in pieces)


def test_example_of_the_documents(service: RunningService, image_id: str, tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "live-service.md").read_text()
    program = page.partition("```python\n")[2].partition("```")[0]
    program = program.replace("http://127.0.0.1:8000", service.url).replace("3 * speech", "speech")
    (tmp_path / "examples").symlink_to(EXAMPLES)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=ENOUGH)
    pictures, sound = decoded((tmp_path / "live.mp4").read_bytes())
    assert len(pictures) >= 25
    assert np.abs(sound).max() > 0.05


def test_metrics_show_sessions_and_slots(client: httpx.Client, live: LiveClient) -> None:
    def figures() -> dict[str, float]:
        lines = [
            line for line in client.get("/metrics").text.splitlines() if line.startswith("sadtalker_live")
        ]
        return {line.partition("{")[0].split()[0]: float(line.split()[-1]) for line in lines}

    until(lambda: figures().get("sadtalker_live_sessions_open") == 1, "an open session")
    assert figures()["sadtalker_live_slots"] == 2
    assert 0 <= figures()["sadtalker_live_load"] <= 1
    until(lambda: figures().get("sadtalker_live_frames_total", -1) >= 0, "counted frames")


# ---------------------------------------------------------------------- wrong messages


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("no json", "malformed_request", None),
        ("[1]", "malformed_request", None),
        ('{"type": "agent.dance"}', "invalid_option", "type"),
        ('{"type": ["agent.speak"]}', "invalid_option", "type"),
        ('{"type": "agent.speak"}', "invalid_option", "audio"),
        ('{"type": "agent.speak", "audio": "!!!"}', "invalid_option", "audio"),
        ('{"type": "agent.speak", "audio": "AAAA"}', "invalid_option", "audio"),
        ('{"type": "agent.speak", "audio": "AAA=", "sample_rate": 44100}', "invalid_option", "sample_rate"),
        ('{"type": "agent.start_listening", "level": NaN}', "invalid_option", "level"),
        ('{"type": "agent.say", "text": " "}', "invalid_option", "text"),
        (b"odd", "invalid_option", "audio"),
        ("x" * 1_000_001, "request_too_large", None),
    ],
)
def test_wrong_message_is_answered_and_the_session_goes_on(
    garbled: LiveClient, message: str | bytes, code: str, param: str | None
) -> None:
    garbled.events.clear()
    garbled.connection.send(message)
    error = garbled.error(code)
    assert error["param"] == param
    assert error["message"].endswith(".")
    assert error["doc_url"] == f"/docs/errors#{code}"
    before = garbled.binary
    garbled.read_until(lambda: garbled.binary > before, "more pictures")


@pytest.fixture(scope="module")
def garbled(service: RunningService, image_id: str) -> Iterator[LiveClient]:
    """One session for all wrong messages."""
    with httpx.Client(base_url=service.url, timeout=ENOUGH) as client:
        record = start(client, image_id)
        with LiveClient(service.url, record) as live:
            live.connected()
            yield live
        client.delete(record["links"]["end"])


def test_message_beyond_all_measure_ends_the_connection_only(
    client: httpx.Client, service: RunningService, session: Event, live: LiveClient
) -> None:
    with suppress(ConnectionClosed):  # it may be closed before the client has sent everything
        live.connection.send(bytes(8_000_002))
    live.read_until(lambda: live.closed is not None, "the end")
    assert live.closed is not None
    assert live.closed[0] in {1006, 1009}
    with LiveClient(service.url, session) as again:
        again.connected()


def test_sound_faster_than_it_is_heard_is_bounded(live: LiveClient) -> None:
    pcm, rate = speech(LIVE_QUEUE * 0.7)
    live.speak(pcm, rate, "a", end=False)
    live.speak(pcm, rate, "a")
    error = live.error("live_queue_full")
    assert error["retryable"]
    assert any(e.get("retry_after", 0) >= 1 for e in live.events)
    live.send("agent.interrupt")
    live.event("agent.speak_ended", interrupted=True)


# ---------------------------------------------------------------------- links and tokens


def test_wrong_token_and_unknown_session_are_refused(service: RunningService, session: Event) -> None:
    base = service.url.replace("http", "ws", 1)
    for path, wanted in (
        (session["links"]["status"] + "/ws?token=wrong", 401),
        (session["links"]["status"] + "/ws", 401),
        ("/api/live/00000000-0000-4000-8000-000000000000/ws?token=x", 404),
        ("/api/live/nonsense/ws", 404),
    ):
        with pytest.raises(InvalidStatus) as refused, connect(base + path):
            pass
        assert refused.value.response.status_code == wanted
        assert b'"error"' in refused.value.response.body


def test_token_as_subprotocol(service: RunningService, session: Event) -> None:
    path, _, token = session["links"]["websocket"].partition("?token=")
    address = service.url.replace("http", "ws", 1) + path
    with connect(address, subprotocols=["sadtalker.live", f"token.{token}"]) as connection:
        assert connection.subprotocol == "sadtalker.live"
        assert "session.state_updated" in str(connection.recv(timeout=ENOUGH))


def test_page_of_another_origin_gets_no_connection(service: RunningService, session: Event) -> None:
    address = service.url.replace("http", "ws", 1) + session["links"]["websocket"]
    with pytest.raises(InvalidStatus) as refused, connect(address, origin="https://evil.example"):
        pass
    assert refused.value.response.status_code == 403


def test_token_is_in_no_log(service: RunningService, session: Event, live: LiveClient) -> None:
    assert session["links"]["websocket"].partition("token=")[2] not in service.log


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ("{", "malformed_request", None),
        ("[]", "invalid_option", None),
        ("{}", "invalid_option", "image_id"),
        ('{"image_id": "x"}', "not_found", "image_id"),
        ('{"image_id": "%s"}' % ("0" * 64), "not_found", "image_id"),
        ('{"image_id": "%s", "captions": "track"}' % ("0" * 64), "invalid_option", "captions"),
        ('{"image_id": "%s", "pose": 1}' % ("0" * 64), "invalid_option", "pose"),
        ('{"image_id": "%s", "preprocess_mode": "round"}' % ("0" * 64), "invalid_option", "preprocess_mode"),
    ],
)
def test_wrong_request_is_refused(client: httpx.Client, body: str, code: str, param: str | None) -> None:
    answer = client.post("/api/live", content=body)
    assert 400 <= answer.status_code < 500
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (code, param)


# ---------------------------------------------------------------------- ends


def test_second_connection_replaces_the_first(
    service: RunningService, session: Event, live: LiveClient
) -> None:
    with LiveClient(service.url, session) as second:
        second.connected()
        live.read_until(lambda: live.closed is not None, "the end")
    assert live.closed is not None
    assert live.closed[0] == 4001


def test_session_ends_on_request(client: httpx.Client, session: Event, live: LiveClient) -> None:
    assert client.delete(session["links"]["end"]).json()["status"] == "closed"
    assert live.wait_closed()["reason"] == "ended_by_request"


def test_client_that_goes_without_a_word_may_come_back_for_a_while(
    client: httpx.Client, service: RunningService, session: Event, image_id: str
) -> None:
    with LiveClient(service.url, session) as first:
        first.connected()
        first.connection.socket.close()  # no closing handshake
    with LiveClient(service.url, session) as again:
        again.connected()
        again.connection.socket.close()
    until(lambda: status(client, session)["status"] == "closed", "the end")
    ended = status(client, session)
    assert ended["reason"] == "client_gone"
    assert ended["resume"]["body"]["image_id"] == image_id
    resumed = client.request(ended["resume"]["method"], ended["resume"]["href"], json=ended["resume"]["body"])
    assert resumed.status_code == 201
    client.delete(resumed.json()["links"]["end"])


def test_idle_session_ends_unless_it_is_kept_alive(live: LiveClient) -> None:
    begin = time.monotonic()
    live.send("session.keep_alive")
    closed = live.wait_closed()
    assert closed["reason"] == "idle"
    assert closed["resume"]["href"] == "/api/live"
    assert time.monotonic() - begin >= 0.8 * LIVE_IDLE


def test_two_hundred_clients_for_two_slots(
    client: httpx.Client, service: RunningService, image_id: str, live: LiveClient
) -> None:
    until_free(client, image_id)
    body = {"image_id": image_id, "preprocess_mode": "crop", "size": 128}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: client.post("/api/live", json=body), range(200)))
    accepted = [answer.json() for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(accepted), len(refused)) == (1, 199)
    assert {answer.json()["error"]["code"] for answer in refused} == {"live_slots_full"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert client.get("/readyz").status_code == 200
    before = live.binary
    live.read_until(lambda: live.binary > before + 5, "more pictures")
    # nobody connects: the slot comes back
    until(lambda: status(client, accepted[0])["reason"] == "never_connected", "the end")
    until_free(client, image_id)


def test_killed_worker_ends_the_session_with_a_way_to_go_on(
    client: httpx.Client, service: RunningService, image_id: str, session: Event, live: LiveClient
) -> None:
    pid = service.pid("live")
    os.kill(pid, signal.SIGKILL)
    assert live.error("live_session_lost")["retryable"]
    closed = live.wait_closed()
    assert closed["reason"] == "worker_lost"
    assert live.closed is not None
    assert live.closed[0] == 1012
    until(lambda: status(client, session)["reason"] == "worker_lost", "the end")
    service.pid("live", other_than=pid)
    resume = closed["resume"]
    answers: list[httpx.Response] = []

    def is_resumed() -> bool:
        answers.append(client.request(resume["method"], resume["href"], json=resume["body"]))
        assert answers[-1].status_code in {201, 429, 503}
        return answers[-1].status_code == 201

    until(is_resumed, "a slot")
    with LiveClient(service.url, answers[-1].json()) as resumed:
        resumed.connected()
        resumed.send("session.close")
        resumed.wait_closed()


def test_session_survives_its_stores(
    client: httpx.Client, service: RunningService, session: Event, live: LiveClient
) -> None:
    roles: tuple[Role, ...] = ("queue", "cache")
    for role in roles:
        service.pid(role, other_than=service.kill(role))
    pcm, rate = speech(0.5)
    live.speak(pcm, rate, "after")
    assert live.event("agent.speak_ended", event_id="after")["interrupted"] is False
    until(lambda: client.get(session["links"]["status"]).status_code == 200, "the store")
    assert status(client, session)["status"] == "connected"
