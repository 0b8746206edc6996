"""Names of the broker's queues, each a plain list on the queue server, and of their tasks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sadtalker_service.state.records import Lane

VIP = "vip"
NORMAL = "normal"
PREPARE = "prepare"
"""Avatars to be prepared."""
AGAIN = "again"
"""Videos whose rendering was started before, by a worker that was lost or shut down. They have waited already
and go first. Every rendering worker also reads this queue."""

QUEUE_OF_LANE: Mapping[Lane, str] = MappingProxyType({"vip": VIP, "standard": NORMAL})

RENDER_QUEUES = (VIP, NORMAL, AGAIN)
QUEUES = (*RENDER_QUEUES, PREPARE)

GENERATE_TASK = "sadtalker.generate"
"""Renders a session's video; argument: the session's id."""
PREPARE_TASK = "sadtalker.prepare"
"""Prepares an avatar; arguments: image id, preprocess mode, and the face index unless it is 0."""
