"""Avatars: portraits that were uploaded, and how far their preparation is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import time

import redis

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.jobs.queue_server import QueueServer
from sadtalker_service.jobs.records import AvatarRecord, Failure


class AvatarStore:
    """All avatars. Every method raises `StoreUnavailable` where the queue's server does not answer.

    `stage`, `ready`, `failed` and `link_video` answer False when the avatar was deleted meanwhile: a worker
    must then remove what it has made of it.
    """

    def __init__(self, queue: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        self._queue = QueueServer(queue)
        self._clock = clock

    def add(self, record: AvatarRecord) -> tuple[AvatarRecord, bool]:
        """The avatar as it is known, and whether that is `record`: it was not known, or had failed."""

    def get(self, image_id: str, mode: PreprocessMode) -> AvatarRecord | None:
        """The avatar, or None."""

    def modes(self, image_id: str) -> tuple[AvatarRecord, ...]:
        """The avatar in every mode in which it is known, sorted by mode; empty for an unknown portrait."""

    def stage(self, image_id: str, mode: PreprocessMode, stage: str) -> bool:
        """`stage` is being computed; the one named before it is done."""

    def ready(
        self,
        image_id: str,
        mode: PreprocessMode,
        *,
        stages: tuple[str, ...],
        seconds: Mapping[str, float],
        face_box: tuple[float, float, float, float] | None = None,
        face_score: float | None = None,
    ) -> bool:
        """Every stage is computed. `seconds`: what each took."""

    def failed(self, image_id: str, mode: PreprocessMode, failure: Failure) -> bool:
        """It cannot be prepared."""

    def unprepared(self, older_than: float) -> tuple[tuple[str, PreprocessMode], ...]:
        """(image id, mode) of those in preparation of which nothing was heard for `older_than` seconds."""

    def list(self, limit: int = 50, cursor: str | None = None) -> tuple[tuple[AvatarRecord, ...], str | None]:
        """Up to `limit` avatars, the latest upload first, and the cursor of the next page or None.

        Raises `InvalidOption` for a cursor that is none.
        """

    def count(self) -> int:
        """Number of avatars, every mode of a portrait counted."""

    def link_video(self, image_id: str, result_key: str) -> bool:
        """A video of this name is about to be published: deleting the avatar deletes it. To be called before
        the file is there. False: the avatar is gone, do not publish."""

    def delete(self, image_id: str) -> tuple[str, ...] | None:
        """Forget the avatar in every mode; the names of its videos, or None for an unknown one."""
