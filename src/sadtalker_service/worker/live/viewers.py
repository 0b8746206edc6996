"""WebRTC viewers of live sessions. They need the extra `webrtc`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from pydantic import TypeAdapter, ValidationError

from sadtalker_service.errors import NotInstalled, StoreMisconfigured
from sadtalker_service.extras import how_to_get
from sadtalker_service.settings import Settings
from sadtalker_service.worker.live.carried import Viewer

_SERVERS = TypeAdapter(list[dict[str, str | list[str]]])


def make_viewer(settings: Settings) -> Viewer:
    """A viewer without a connection yet. Raises `NotInstalled`, `StoreMisconfigured`."""
    if find_spec("aiortc") is None:
        raise NotInstalled(f"WebRTC is not installed on this server. {how_to_get('webrtc')}")
    webrtc = import_module("sadtalker_service.live.webrtc")  # loads aiortc, which takes a while
    servers = [
        webrtc.IceServer(tuple(one["urls"]), one.get("username"), one.get("credential"))
        for one in ice_servers(settings)
    ]
    viewer: Viewer = webrtc.WebRtcOutput(servers)
    return viewer


def ice_servers(settings: Settings) -> list[dict[str, str | list[str]]]:
    """The servers of LIVE_ICE_SERVERS. Raises `StoreMisconfigured` if they cannot be read."""
    text = settings.live_ice_servers.strip()
    if not text:
        return []
    try:
        servers = _SERVERS.validate_json(text)
    except ValidationError:
        servers = [{}]
    if not all(isinstance(one.get("urls"), list) for one in servers):
        raise StoreMisconfigured(
            'LIVE_ICE_SERVERS cannot be read. It must be like [{"urls": ["stun:stun.example.org:3478"]}].'
        )
    return servers
