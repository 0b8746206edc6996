"""How often the preparation of an avatar was begun: one that brings down its worker is given up."""

from __future__ import annotations

from typing import cast

import redis

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.records import slot_of

_STARTS = "preparation_starts"
"""Hash: "image_id:slot" (`slot_of`) -> starts since the avatar was last ready or given up."""


class Preparations:
    """Counts starts. Every method raises `StoreUnavailable`."""

    def __init__(self, queue: redis.Redis) -> None:
        self._queue = QueueServer(queue)

    def begin(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> int:
        """A preparation is begun; the how manieth this is."""
        return cast(
            "int", self._queue.command("HINCRBY", _STARTS, f"{image_id}:{slot_of(mode, face_index)}", 1)
        )

    def end(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> None:
        """It came to an end, well or not: the next one counts from the beginning."""
        self._queue.command("HDEL", _STARTS, f"{image_id}:{slot_of(mode, face_index)}")
