"""STUN and TURN servers from a setting."""

from __future__ import annotations

import pytest

from sadtalker_service.errors import InvalidOption
from sadtalker_service.live.ice import IceServer, parse_ice_servers

TURN = (
    '[{"urls": "turn:t.example.org", "username": "u", "credential": "c"}, {"urls": ["stun:s.example.org"]}]'
)


def test_urls_or_what_a_browser_takes() -> None:
    assert parse_ice_servers("", "X") == ()
    both = parse_ice_servers("stun:a.example.org:3478, stun:b.example.org", "X")
    assert both == (IceServer(("stun:a.example.org:3478", "stun:b.example.org")),)
    turn, stun = parse_ice_servers(TURN, "X")
    assert turn == IceServer(("turn:t.example.org",), "u", "c")
    assert turn.for_browser() == {"urls": ["turn:t.example.org"], "username": "u", "credential": "c"}
    assert stun.for_browser() == {"urls": ["stun:s.example.org"]}


@pytest.mark.parametrize(
    "text",
    [
        "http://a.example.org",
        "turn:a.example.org",
        "[",
        "[1]",
        '[{"urls": []}]',
        '[{"urls": "stun:a", "username": 5}]',
        '[{"urls": [7]}]',
    ],
)
def test_a_wrong_setting_is_named(text: str) -> None:
    with pytest.raises(InvalidOption, match="LIVE_ICE_SERVERS") as refused:
        parse_ice_servers(text, "LIVE_ICE_SERVERS")
    assert refused.value.param == "LIVE_ICE_SERVERS"
