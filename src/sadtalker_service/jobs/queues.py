"""Names of the broker's queues, each a plain list on the queue server, and of the tasks in them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sadtalker_service.state.records import Lane

VIP = "vip"
NORMAL = "normal"
PREPARE = "prepare"
"""Avatars to be prepared."""
AGAIN = "again"
"""Videos that were begun before, by a worker that was lost or shut down: they have waited already, and go
first. Whoever makes videos takes from this queue too."""

QUEUE_OF_LANE: Mapping[Lane, str] = MappingProxyType({"vip": VIP, "standard": NORMAL})

RENDER_QUEUES = (VIP, NORMAL, AGAIN)
QUEUES = (*RENDER_QUEUES, PREPARE)

GENERATE_TASK = "sadtalker.generate"
"""Makes a session's video; argument: the session's id."""
PREPARE_TASK = "sadtalker.prepare"
"""Prepares an avatar; arguments: image id, preprocess mode."""
