"""WebRTC viewers of live sessions. They need the extra `webrtc`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

from sadtalker_service.errors import NotInstalled
from sadtalker_service.extras import how_to_get
from sadtalker_service.live.avatar import LiveFrame
from sadtalker_service.live.ice import ice_servers
from sadtalker_service.settings import Settings


class Viewer(Protocol):
    """A WebRTC connection, see `live.webrtc.WebRtcOutput`."""

    async def answer(self, offer: str) -> str:
        """The answer to an SDP offer."""

    def push(self, frame: LiveFrame) -> None:
        """Send a frame."""

    async def close(self) -> None:
        """End it."""


def make_viewer(settings: Settings, mark: str) -> Viewer:
    """A viewer without a connection yet, which is told `mark`: what its picture is.

    Raises `NotInstalled`, `StoreMisconfigured`.
    """
    if find_spec("aiortc") is None:
        raise NotInstalled(f"WebRTC is not installed on this server. {how_to_get('webrtc')}")
    webrtc = import_module("sadtalker_service.live.webrtc")  # loads aiortc, which takes a while
    viewer: Viewer = webrtc.WebRtcOutput(ice_servers(settings), mark=mark)
    return viewer
