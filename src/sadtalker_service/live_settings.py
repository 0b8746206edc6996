"""The settings of live sessions, a part of `settings.Settings`."""

from __future__ import annotations

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_MOST_LIVE_SLOTS = 4
"""By default: more sessions in one process wait for each other."""


class LiveSettings(BaseSettings):
    """Settings of live sessions, from the environment."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    live_slots: int | None = Field(None, ge=0)
    """Live sessions that this machine carries at once. Default: one per core, at most four. 0: none."""

    live_max_load: float = Field(0.7, gt=0, le=1)
    """Measured load of a live worker, 0 to 1, from which it takes no further session."""

    live_idle_seconds: float = Field(300.0, gt=0)
    """A live session ends after this time without a message from its client, seconds."""

    live_max_seconds: float = Field(14_400.0, gt=0)
    """Longest duration of a live session, seconds, however busy it is. Then it ends."""

    live_recording_seconds: float = Field(3_600.0, ge=0)
    """Longest recording of a live session, seconds. The session goes on without it. 0: none is recorded."""

    live_grace_seconds: float = Field(15.0, gt=0)
    """How long the slot of a live session is kept for a client that has not connected yet, or has lost its
    connection, seconds."""

    live_queue_seconds: float = Field(60.0, ge=1)
    """Longest driven audio that a live session keeps for later, seconds. More is refused."""

    live_port: int = Field(0, ge=0, le=65_535)
    """TCP port on `HOST` on which the live worker answers, for an API on another machine. 0: it answers on a
    Unix socket only."""

    live_address: str = ""
    """`host:port` at which the API reaches the live worker. Default: `HOST` and `LIVE_PORT`."""

    live_public_url: str = ""
    """URL at which clients reach this live worker directly (`wss://live1.example.org`), past the API.
    Default: the API passes everything on."""

    live_ice_servers: str = ""
    """STUN and TURN servers for WebRTC as a JSON list:
    `[{"urls": ["turn:turn.example.org"], "username": "u", "credential": "c"}]`. Empty: none."""

    @property
    def slots_for_live(self) -> int:
        """Live sessions that this machine carries at once."""
        if self.live_slots is not None:
            return self.live_slots
        return min(_MOST_LIVE_SLOTS, len(os.sched_getaffinity(0)))
