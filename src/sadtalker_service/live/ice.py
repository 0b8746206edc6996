"""STUN and TURN servers from a setting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sadtalker_service.errors import InvalidOption, StoreMisconfigured
from sadtalker_service.settings import Settings

_SCHEMES = ("stun:", "stuns:", "turn:", "turns:")


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server."""

    urls: tuple[str, ...]
    """Such as `stun:stun.example.org:3478` or `turn:turn.example.org:3478?transport=udp`."""
    username: str | None = None
    credential: str | None = None

    def for_browser(self) -> dict[str, Any]:
        """This server as an entry of `iceServers` in a browser's `RTCConfiguration`."""
        given = {"username": self.username, "credential": self.credential}
        return {"urls": list(self.urls), **{name: value for name, value in given.items() if value}}


def ice_servers(settings: Settings) -> tuple[IceServer, ...]:
    """The servers of LIVE_ICE_SERVERS. Raises `StoreMisconfigured` if they cannot be read."""
    try:
        return parse_ice_servers(settings.live_ice_servers, "LIVE_ICE_SERVERS")
    except InvalidOption as error:
        raise StoreMisconfigured(error.message) from error


def parse_ice_servers(text: str, param: str) -> tuple[IceServer, ...]:
    """Servers from a JSON list as browsers take it, or from URLs separated by commas. Empty: none.

    Raises `InvalidOption` that names `param`.
    """
    text = text.strip()
    if not text.startswith("["):
        urls = tuple(url.strip() for url in text.split(",") if url.strip())
        return (_server({"urls": list(urls)}, param),) if urls else ()
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidOption(f"{param} is not valid JSON: {error}.", param=param) from error
    return tuple(_server(entry, param) for entry in entries)


def _server(entry: object, param: str) -> IceServer:
    if not isinstance(entry, Mapping) or not entry.get("urls"):
        raise InvalidOption(f'Each server in {param} needs "urls".', param=param)
    urls = [entry["urls"]] if isinstance(entry["urls"], str) else list(entry["urls"])
    wrong = [url for url in urls if not str(url).startswith(_SCHEMES)]
    if wrong:
        raise InvalidOption(
            f"{param} has {wrong[0]!r}, but a server begins with {', '.join(_SCHEMES)}.", param=param
        )
    secrets = {name: entry.get(name) for name in ("username", "credential")}
    if any(not isinstance(value, str | None) for value in secrets.values()):
        raise InvalidOption(f"username and credential in {param} must be text.", param=param)
    if any(str(url).startswith("turn") for url in urls) and not all(secrets.values()):
        raise InvalidOption(f"A TURN server in {param} needs username and credential.", param=param)
    return IceServer(tuple(map(str, urls)), secrets["username"], secrets["credential"])
