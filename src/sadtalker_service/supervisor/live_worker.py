"""The process for live sessions, among the others of the service."""

from __future__ import annotations

import socket
import sys

from sadtalker_service.errors import StoreUnavailable
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_sessions import LiveSessionStore
from sadtalker_service.store.connections import connect, store_urls
from sadtalker_service.supervisor.child import ChildSpec

_LIVE_GRACE = 10.0
"""Seconds to tell the clients of live sessions that they end."""


def live_workers(
    settings: Settings, environment: dict[str, str], name: str, *, renders: bool
) -> list[ChildSpec]:
    """The process for live sessions, if it has any slots; without `renders` only if LIVE_SLOTS is set. Its
    priority is that of the API, because a late frame is of no use."""
    if not settings.slots_for_live or (settings.live_slots is None and not renders):
        return []
    live = LiveSessionStore(connect(store_urls(settings).queue, retries=False), settings)
    return [
        ChildSpec(
            name=name,
            argv=(sys.executable, "-m", "sadtalker_service", "live", "--name", name),
            env=environment,
            ready=lambda: _is_reported(live, f"{name}@{socket.gethostname()}"),
            grace=_LIVE_GRACE,
        )
    ]


def _is_reported(live: LiveSessionStore, worker: str) -> bool:
    """Whether a live worker has reported itself. It leaves when it starts, so that no old report counts."""
    try:
        return worker in live.workers()
    except StoreUnavailable:
        return False
