"""Counts how often an avatar's preparation was started, so that one that kills its workers is given up."""

from __future__ import annotations

from typing import cast

import redis

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.records import slot_of

_STARTS = "preparation_starts"
"""Hash: "image_id:slot" (`slot_of`) -> starts since the avatar was last ready or given up."""


class Preparations:
    """Counter of starts. Every method raises `StoreUnavailable`."""

    def __init__(self, queue: redis.Redis) -> None:
        self._queue = QueueServer(queue)

    def begin(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> int:
        """Record a start and return the number of starts so far."""
        return cast(
            "int", self._queue.command("HINCRBY", _STARTS, f"{image_id}:{slot_of(mode, face_index)}", 1)
        )

    def end(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """Record that the preparation ended, in success or failure. The next start counts from one."""
        self._queue.command("HDEL", _STARTS, f"{image_id}:{slot_of(mode, face_index)}")
