"""Send a live avatar to a browser over WebRTC. Needs the extra `webrtc` (aiortc).

The browser makes an offer; `answer` answers it, and from then on every frame that is pushed goes out.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from sadtalker_service.errors import InvalidInput
from sadtalker_service.live.avatar import LIVE_FPS, LIVE_RATE, LiveFrame
from sadtalker_service.live.ice import IceServer

_log = logging.getLogger(__name__)

_CLOCK = 90_000
"""Ticks per second of the times of pictures, as RTP has them."""
_PIECE = LIVE_RATE // 50
"""Samples of an audio frame: 20 ms. Longer ones are cut off by the packetiser."""
_MOST_PICTURES, _MOST_PIECES = 3, 12
"""Frames that wait for a sender that is behind. Older ones are dropped, and nothing is late afterwards."""
_PREFERRED = "video/H264"
"""Most devices decode it in hardware, and aiortc would offer VP8 first."""


class WebRtcOutput:
    """One viewer. All methods belong to one event loop."""

    def __init__(
        self,
        ice_servers: Sequence[IceServer] = (),
        on_closed: Callable[[], None] | None = None,
        mark: str = "",
    ) -> None:
        """`on_closed` is called once, when the viewer is gone or the connection failed. `mark` says in one
        line that the picture is synthetic: in the SDP answer, and on every data channel that the viewer
        opens."""
        servers = [RTCIceServer(list(s.urls), s.username, s.credential) for s in ice_servers]
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._pictures = _PushedTrack("video", _MOST_PICTURES)
        self._sound = _PushedTrack("audio", _MOST_PIECES)
        self._on_closed = on_closed
        self._mark = mark
        self._connection.on("datachannel", self._tell_mark)
        self._connection.on("connectionstatechange", self._state_changed)

    @property
    def state(self) -> str:
        """`new`, `connecting`, `connected`, `failed` or `closed`."""
        return str(self._connection.connectionState)

    async def answer(self, offer: str) -> str:
        """The SDP answer to a browser's SDP offer, with all ICE candidates in it.

        Raises `InvalidInput` if this is no offer to receive video and audio.
        """
        for track in (self._pictures, self._sound):
            self._connection.addTrack(track)
        self._prefer_h264()  # has an effect only before the offer is applied
        try:
            await self._apply(offer)
        except Exception as error:  # aiortc raises many kinds for what it cannot read
            await self.close()
            _log.info("webrtc_offer_refused: %s", error)
            raise InvalidInput(
                "This SDP offer cannot be answered. It must offer to receive one video (H.264 or VP8)"
                " and one audio (Opus).",
                param="sdp",
            ) from error
        return _marked(str(self._connection.localDescription.sdp), self._mark)

    async def _apply(self, offer: str) -> None:
        await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        kinds = {line.kind for line in self._connection.getTransceivers() if line.mid is not None}
        if kinds != {"video", "audio"}:
            raise ValueError(f"the offer has {kinds or 'nothing'}")
        await self._connection.setLocalDescription(await self._connection.createAnswer())

    def push(self, frame: LiveFrame) -> None:
        """Send a frame: its picture, and its sound in pieces of 20 ms."""
        if self._pictures.wanted:
            self._pictures.push(_picture(frame))
        if self._sound.wanted:
            for piece in _pieces(frame):
                self._sound.push(piece)

    async def close(self) -> None:
        """End the connection. Further frames are dropped."""
        self._pictures.stop()
        self._sound.stop()
        await self._connection.close()

    def _prefer_h264(self) -> None:
        known = RTCRtpSender.getCapabilities("video").codecs
        ordered = sorted(known, key=lambda codec: codec.mimeType != _PREFERRED)
        for transceiver in self._connection.getTransceivers():
            if transceiver.kind == "video":
                transceiver.setCodecPreferences(ordered)

    def _tell_mark(self, channel: RTCDataChannel) -> None:
        if self._mark:
            channel.send(json.dumps({"type": "synthetic_media", "mark": self._mark}))

    def _state_changed(self) -> None:
        if self.state in {"failed", "closed"} and self._on_closed:
            call, self._on_closed = self._on_closed, None
            call()


def _marked(sdp: str, mark: str) -> str:
    """`sdp` with `mark` as the information about its session (RFC 8866, 5.4), which follows the name."""
    begin, name, rest = sdp.partition("\r\ns=")
    line, end, more = rest.partition("\r\n")
    return f"{begin}{name}{line}{end}i={mark}\r\n{more}" if mark and name else sdp


class _PushedTrack(MediaStreamTrack):
    """A track of the pushed frames. It keeps none before the first one is requested."""

    def __init__(self, kind: str, most: int) -> None:
        super().__init__()
        self.kind = kind
        self.wanted = False
        """Whether frames are taken."""
        self._frames: deque[av.VideoFrame | av.AudioFrame] = deque(maxlen=most)
        self._arrived = asyncio.Event()

    def push(self, frame: av.VideoFrame | av.AudioFrame) -> None:
        """Append a frame. If the track is full, the oldest one is dropped."""
        self._frames.append(frame)
        self._arrived.set()

    async def recv(self) -> av.VideoFrame | av.AudioFrame:
        """The next frame, for the sender. Raises `MediaStreamError` at the end."""
        self.wanted = True
        while not self._frames and self.readyState == "live":
            self._arrived.clear()
            await self._arrived.wait()
        if self.readyState != "live":
            raise MediaStreamError
        return self._frames.popleft()

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self.wanted = False
        with suppress(RuntimeError):  # the loop may be closed already
            self._arrived.set()


def _picture(frame: LiveFrame) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(frame.picture, format="rgb24").reformat(format="yuv420p")
    picture.pts = frame.index * _CLOCK // LIVE_FPS
    picture.time_base = Fraction(1, _CLOCK)
    return picture


def _pieces(frame: LiveFrame) -> list[av.AudioFrame]:
    pcm = np.clip(np.round(frame.sound * 32_767.0), -32_767, 32_767).astype(np.int16)
    pieces = []
    for begin in range(0, len(pcm), _PIECE):
        piece = av.AudioFrame.from_ndarray(pcm[None, begin : begin + _PIECE], format="s16", layout="mono")
        piece.sample_rate = LIVE_RATE
        piece.pts = frame.index * len(pcm) + begin
        piece.time_base = Fraction(1, LIVE_RATE)
        pieces.append(piece)
    return pieces
