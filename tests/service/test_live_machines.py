"""Live sessions over two instances that share their stores: one has the API, the other draws.

Links that lead to the drawing process, STUN, the longest duration, and recordings, also of a process that is
killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiortc
import httpx
import numpy as np
import pytest
from tests.support.live import ENOUGH, EXAMPLES, Event, LiveClient, decoded, speech, start
from tests.support.manifests import manifest_of, origin_of
from tests.support.running_service import RunningService, until
from tests.support.servers import cache_store, queue_store
from tests.support.stun import StunServer
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sadtalker_service.engines.port import card_of
from sadtalker_service.engines.registry import load_engine
from sadtalker_service.state.registry import EngineRegistry

CLAIMED = "198.51.100.7"
"""Address that the STUN server tells, of a network for documentation."""
LONGEST, LONGEST_RECORDING = 12.0, 2.0
"""Seconds."""
KEYS = json.dumps([{"name": name, "key": f"{name}-key"} for name in ("shop", "bank")])


def client_of(url: str, name: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=ENOUGH, headers={"X-API-Key": f"{name}-key"})


@dataclass
class Machines:
    """The two instances, and what they share."""

    front: RunningService
    """Has the API, and no other process."""
    back: RunningService
    """Carries live sessions, one at a time."""
    stun: StunServer
    direct: str
    """Where clients reach the live worker."""
    image_id: str = ""

    def status(self, client: httpx.Client, record: Event) -> Event:
        answer: Event = client.get(record["links"]["status"]).raise_for_status().json()
        return answer


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    folder = Path(tempfile.mkdtemp(prefix="st-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stores = queue_store(), cache_store()
        for store in stores:
            stack.callback(store.remove)
            store.start()
        stun = stack.enter_context(StunServer(CLAIMED))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        direct = f"ws://127.0.0.1:{port}"
        shared = {
            "QUEUE_URL": stores[0].url,
            "REDIS_URL": stores[1].url,
            "ARTEFACT_URL": f"file://{folder}/artefacts",
            "API_KEYS": KEYS,
            "LIVE_GRACE_SECONDS": "4",
            "LIVE_MAX_LOAD": "1",
            "LIVE_MAX_SECONDS": str(LONGEST),
            "LIVE_RECORDING_SECONDS": str(LONGEST_RECORDING),
            "LIVE_ICE_SERVERS": json.dumps([{"urls": [stun.url]}]),
        }
        drawing = {"LIVE_SLOTS": "1", "LIVE_PORT": str(port), "LIVE_PUBLIC_URL": direct}
        back = RunningService(folder / "b", {**shared, **drawing}, workers=0)
        front = stack.enter_context(RunningService(folder / "f", shared, workers=0))
        stack.enter_context(back)
        # no worker makes videos here, which costs the time to start one; it would say what it can do
        EngineRegistry(stores[0].client()).publish(card_of(load_engine("mesh")), default=True)
        found = Machines(front, back, stun, direct)
        with client_of(front.url, "shop") as client:
            found.image_id = uploaded(client)
        yield found


def uploaded(client: httpx.Client) -> str:
    """Id of the example's source image. The live worker prepares its avatar."""
    files = {"image_file": (EXAMPLES / "portrait.jpg").read_bytes()}
    answer = client.post("/api/avatar/upload", files=files, data={"preprocess_mode": "crop"})
    return str(answer.raise_for_status().json()["image_id"])


@pytest.fixture
def client(machines: Machines) -> Iterator[httpx.Client]:
    """A client of the instance that draws nothing."""
    with client_of(machines.front.url, "shop") as client:
        yield client


def opened(machines: Machines, client: httpx.Client, **fields: Any) -> Event:
    """A session, as soon as there is a slot."""
    records: list[Event] = []

    def there() -> bool:
        body = {"image_id": machines.image_id, "preprocess_mode": "crop", "size": 128, **fields}
        answer = client.post("/api/live", json=body)
        assert answer.status_code in {201, 429, 503}, answer.text
        if answer.status_code == 201:
            records.append(answer.json())
        return bool(records)

    until(there, "a slot")
    return records[0]


def saved(machines: Machines, client: httpx.Client, record: Event) -> Event:
    """The recording once it is made."""
    until(lambda: machines.status(client, record)["recording"]["status"] != "saving", "the recording")
    return machines.status(client, record)


def spoken(live: LiveClient, seconds: float = 0.6) -> None:
    pcm, rate = speech(seconds)
    live.speak(pcm, rate, "one")
    live.event("agent.speak_ended", event_id="one")


@pytest.mark.parametrize("way", ["websocket", "relay"])
def test_session_of_another_machine_directly_and_through_the_api(
    machines: Machines, client: httpx.Client, way: str
) -> None:
    record = opened(machines, client)
    assert record["links"]["websocket"] == machines.direct + record["links"]["relay"]
    assert record["max_seconds"] == LONGEST
    assert not machines.front.pids("live")
    link = {**record, "links": {**record["links"], "websocket": record["links"][way]}}
    with LiveClient(machines.front.url, link) as live:
        said = live.connected()
        assert said["synthetic"] is True
        assert said["digital_source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")
        spoken(live)
        assert np.abs(decoded(bytes(live.video))[1]).max() > 0.05
        live.send("session.close")
        assert live.wait_closed()["reason"] == "ended_by_client"
    with pytest.raises(InvalidStatus) as refused, connect(f"{machines.direct}/api/live/x/ws?token=y"):
        pass
    assert refused.value.response.status_code == 404


def test_direct_link_needs_the_token(machines: Machines, client: httpx.Client) -> None:
    record = opened(machines, client)
    wrong = record["links"]["websocket"].partition("=")[0] + "=wrong"
    with pytest.raises(InvalidStatus) as refused, connect(wrong):
        pass
    assert refused.value.response.status_code == 401
    client.delete(record["links"]["end"])


def test_stun_servers_are_given_to_the_client_and_used_by_both_sides(
    machines: Machines, client: httpx.Client
) -> None:
    record = opened(machines, client)
    assert record["ice_servers"] == [{"urls": [machines.stun.url], "username": None, "credential": None}]
    assert machines.status(client, record)["ice_servers"] == []
    record["links"]["websocket"] += "&video=off"
    with LiveClient(machines.front.url, record) as live:
        live.event("session.state_updated", state="connected")
        offer, answer, told = asyncio.run(watched(client, record))
        live.send("session.close")
        live.wait_closed()
    # both sides have asked the server, and pass on what it said
    assert f"{CLAIMED} " in offer
    assert f"{CLAIMED} " in answer
    assert len(machines.stun.clients) >= 2
    # the mark, in the answer and on the data channel
    (line,) = [line for line in answer.splitlines() if line.startswith("i=")]
    assert line.startswith("i=Synthetic media")
    assert told == {"type": "synthetic_media", "mark": line.removeprefix("i=")}


async def watched(client: httpx.Client, record: Event) -> tuple[str, str, Event]:
    """Offer, answer, and what the data channel says, of a viewer who sees a picture."""
    servers = [aiortc.RTCIceServer(**one) for one in record["ice_servers"]]
    viewer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(servers))
    tracks: dict[str, Any] = {}
    viewer.on("track", lambda track: tracks.update({track.kind: track}))
    for kind in ("video", "audio"):
        viewer.addTransceiver(kind, direction="recvonly")
    told = asyncio.get_running_loop().create_future()
    viewer.createDataChannel("mark").on("message", told.set_result)
    await viewer.setLocalDescription(await viewer.createOffer())
    offer = viewer.localDescription.sdp
    body = {"type": "offer", "sdp": offer}
    got = await asyncio.to_thread(client.post, record["links"]["offer"], json=body)
    assert got.status_code == 200, got.text
    await viewer.setRemoteDescription(aiortc.RTCSessionDescription(**got.json()))
    try:
        async with asyncio.timeout(ENOUGH):
            await tracks["video"].recv()
            return offer, got.json()["sdp"], json.loads(await told)
    finally:
        await viewer.close()


def test_recording_is_a_video_like_others(machines: Machines, client: httpx.Client) -> None:
    record = opened(machines, client, record=True)
    assert record["recording"]["status"] == "recording"
    with LiveClient(machines.front.url, record) as live:
        assert live.connected()["recording"] == {"status": "recording", "longest": LONGEST_RECORDING}
        spoken(live)
        live.connection.socket.close()  # without a word
    with LiveClient(machines.front.url, record) as again:
        again.connected()
        # it has an end, and the session goes on
        stopped = again.event("session.recording_updated")
        assert (stopped["status"], stopped["reason"], stopped["seconds"]) == ("stopped", "length", 2.0)
        before = again.binary
        again.read_until(lambda: again.binary > before, "more pictures")
        again.send("session.close")
        assert again.wait_closed()["recording"] == {"status": "saving"}
    ended = saved(machines, client, record)
    assert (ended["recording"]["status"], ended["recording"]["seconds"]) == ("ready", 2.0)
    name = record["session_id"]
    video = client.get(ended["recording"]["video"]).json()
    assert (video["status"], video["session_id"], video["video"]["frames"]) == ("ready", name, 50)
    assert video["download_url"] == ended["links"]["recording"]
    whole = client.get(video["download_url"]).raise_for_status().content
    pictures, sound = decoded(whole)
    assert pictures.shape == (50, 128, 128)
    assert np.abs(sound).max() > 0.05
    assert len(sound) / 48_000 == pytest.approx(2.0, abs=0.15)
    assert np.abs(np.diff(pictures.astype(int), axis=0)).max() > 10
    store = manifest_of(whole)
    assert store["validation_state"] == "Valid"
    assert origin_of(store) == "compositeWithTrainedAlgorithmicMedia"
    assert client.get(video["links"]["stream"]).content[4:8] == b"ftyp"
    with client_of(machines.front.url, "bank") as other:
        assert other.get(ended["links"]["recording"]).status_code == 404
        assert other.get(ended["links"]["status"]).status_code == 404
    assert not list((machines.back.data_dir / "live").iterdir())


@pytest.mark.slow  # it waits for another process; tests/worker/live/test_recordings.py has the rest
@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGKILL, "worker_lost"), (signal.SIGTERM, "worker_stopped")]
)
def test_recording_outlives_its_process(
    machines: Machines, client: httpx.Client, number: signal.Signals, reason: str
) -> None:
    record = opened(machines, client, record=True)
    with LiveClient(machines.front.url, record) as live:
        live.connected()
        spoken(live)
        shown = live.binary
        os.kill(machines.back.pid("live"), number)
        live.read_until(lambda: live.closed is not None, "the end")
    until(lambda: machines.status(client, record)["reason"] == reason, "the end")
    ended = saved(machines, client, record)
    assert ended["recording"]["status"] == "ready"
    assert ended["resume"]["body"]["record"] is True
    pictures, sound = decoded(client.get(ended["links"]["recording"]).content)
    # all but the frame that was being written; the client has got the same pieces
    assert min(50, shown - 5) <= len(pictures) <= 50
    assert np.abs(sound).max() > 0.05


@pytest.mark.slow  # it waits for another API
def test_session_over_the_direct_link_outlives_the_api(machines: Machines, client: httpx.Client) -> None:
    record = opened(machines, client)
    with LiveClient(machines.front.url, record) as live:
        live.connected()
        killed = machines.front.kill("api")
        spoken(live)
        machines.front.pid("api", other_than=killed)
        until(lambda: answers(client, record["links"]["status"]), "the API")
        assert machines.status(client, record)["status"] == "connected"
        live.send("session.close")
        live.wait_closed()


def answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def test_two_hundred_connections_to_one_session(machines: Machines, client: httpx.Client) -> None:
    record = opened(machines, client)
    path = record["links"]["websocket"]

    def connection(number: int) -> int | None:
        """Connect and leave without a word. Every third one has no token."""
        try:
            link = path if number % 3 else path.partition("?")[0]
            with connect(link, open_timeout=ENOUGH, close_timeout=0.1) as one:
                one.socket.close()
        except InvalidStatus as refused:
            return refused.response.status_code
        except ConnectionClosed:  # another one has come
            return None
        return None

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(connection, range(200)))
    assert set(answers[::3]) == {401}
    assert {*answers[1::3], *answers[2::3]} == {None}
    with LiveClient(machines.front.url, record) as last:
        last.connected()
        spoken(last)
        last.send("session.close")
        last.wait_closed()


def test_nobody_comes_and_nothing_is_recorded(machines: Machines, client: httpx.Client) -> None:
    record = opened(machines, client, record=True)
    client.delete(record["links"]["end"])
    ended = saved(machines, client, record)
    assert ended["links"]["recording"] is None
    assert ended["recording"]["status"] == "lost"
    answer = client.post("/api/live", json={"image_id": machines.image_id, "record": "yes"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "record")


@pytest.mark.slow  # as long as a session may be
def test_session_ends_after_its_longest_duration(machines: Machines, client: httpx.Client) -> None:
    record = opened(machines, client)
    with LiveClient(machines.front.url, record) as live:
        assert live.connected()["max_seconds"] == LONGEST
        pcm, rate = speech(3.0)
        for _ in range(6):  # busy all the time
            live.speak(pcm, rate, "on")
        closed = live.wait_closed()
    assert closed["reason"] == "time_limit"
    assert closed["resume"]["body"]["image_id"] == machines.image_id
    assert "as long as" in machines.status(client, record)["message"]


def test_recordings_go_with_their_avatar(machines: Machines, client: httpx.Client) -> None:
    record = opened(machines, client, record=True)
    with LiveClient(machines.front.url, record) as live:
        live.connected()
        live.send("session.close")
        live.wait_closed()
    ended = saved(machines, client, record)
    assert client.head(ended["links"]["recording"]).status_code == 200
    client.delete(f"/api/avatar/{machines.image_id}").raise_for_status()
    assert machines.status(client, record)["recording"]["status"] == "deleted"
    assert client.get(ended["links"]["recording"]).status_code in {404, 410}
    machines.image_id = uploaded(client)
    assert start(client, machines.image_id)["recording"] is None
