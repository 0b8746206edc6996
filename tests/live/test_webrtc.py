"""WebRTC: a real peer connection on the loopback receives pictures and sound."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.domain import SPEECH_RATE, Avatar
from sadtalker_service.engines.mesh import MeshEngine
from sadtalker_service.errors import InvalidInput
from sadtalker_service.live.avatar import LiveAvatar
from sadtalker_service.live.ice import IceServer
from sadtalker_service.options import RenderOptions

aiortc = pytest.importorskip("aiortc")
webrtc = pytest.importorskip("sadtalker_service.live.webrtc")

DEADLINE = 30.0
OPTIONS = RenderOptions(size=128)


async def offer_of(viewer, *kinds: str) -> str:
    for kind in kinds:
        viewer.addTransceiver(kind, direction="recvonly")
    await viewer.setLocalDescription(await viewer.createOffer())
    return viewer.localDescription.sdp


async def frames_of(track, count: int) -> list:
    return [await track.recv() for _ in range(count)]


async def watch(live: LiveAvatar, pictures: int, pieces: int):
    """So many of both, received by another peer while the avatar speaks in real time."""
    viewer, tracks = aiortc.RTCPeerConnection(), {}
    viewer.on("track", lambda track: tracks.update({track.kind: track}))
    output = webrtc.WebRtcOutput()
    answer = await output.answer(await offer_of(viewer, "video", "audio"))
    await viewer.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))

    async def send() -> None:
        while True:
            output.push(live.next_frame())
            await asyncio.sleep(0.035)

    sending = asyncio.create_task(send())
    try:
        both = asyncio.gather(frames_of(tracks["video"], pictures), frames_of(tracks["audio"], pieces))
        return answer, *await asyncio.wait_for(both, DEADLINE)
    finally:
        sending.cancel()
        await output.close()
        await viewer.close()


def test_a_peer_sees_and_hears_the_avatar(
    engine: MeshEngine, avatar: Avatar, voice: NDArray[np.float32]
) -> None:
    live = LiveAvatar(engine, avatar, OPTIONS)
    live.push_audio(voice[: 5 * SPEECH_RATE], SPEECH_RATE, "a")
    rest = live.next_frame().picture
    answer, pictures, pieces = asyncio.run(watch(live, 20, 100))
    live.close()
    video = next(part for part in answer.split("m=") if part.startswith("video"))
    first = video.split()[3]
    assert f"a=rtpmap:{first} H264/90000" in video
    shown = pictures[-1].to_ndarray(format="rgb24")
    assert shown.shape == rest.shape
    assert np.abs(shown.astype(int) - rest).mean() < 12.0
    steps = np.diff([picture.pts for picture in pictures])
    assert (steps % 3600 == 0).all()
    assert steps.min() > 0
    assert {piece.samples for piece in pieces} == {960}  # 20 ms at Opus' 48 kHz
    assert max(np.abs(piece.to_ndarray()).max() for piece in pieces) > 3000


def test_a_bad_offer_gets_a_clear_error() -> None:
    async def run() -> None:
        viewer = aiortc.RTCPeerConnection()
        only_sound = await offer_of(viewer, "audio")
        empty = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
        for offer in ("", "v=0\r\n", "garbage" * 1000, empty, only_sound):
            output = webrtc.WebRtcOutput()
            with pytest.raises(InvalidInput, match="must offer to receive one video"):
                await output.answer(offer)
            assert output.state == "closed"
        await viewer.close()

    asyncio.run(run())


def test_a_viewer_that_leaves_is_noticed(engine: MeshEngine, avatar: Avatar) -> None:
    async def run() -> None:
        gone = asyncio.Event()
        viewer = aiortc.RTCPeerConnection()
        output = webrtc.WebRtcOutput(on_closed=gone.set)
        answer = await output.answer(await offer_of(viewer, "video", "audio"))
        await viewer.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(DEADLINE):
            while output.state != "connected":
                await asyncio.sleep(0.01)
            await viewer.close()
            await gone.wait()
        await output.close()

    asyncio.run(run())


def test_ice_servers_are_given_to_the_connection() -> None:
    async def run() -> None:
        servers = [IceServer(("turn:turn.example.org:3478?transport=udp",), "user", "secret")]
        output = webrtc.WebRtcOutput(servers)
        (given,) = output._connection._RTCPeerConnection__configuration.iceServers
        assert (given.urls, given.username, given.credential) == (list(servers[0].urls), "user", "secret")
        await output.close()

    asyncio.run(run())
