"""Avatars: uploaded source images and the progress of their preparation.

An avatar is a JSON text. It is replaced only if it is still the one that was read; otherwise the change reads
it again. A deleted avatar stays deleted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import redis
import structlog
from redis.exceptions import LockNotOwnedError

from sadtalker_service.domain import PreprocessMode
from sadtalker_service.errors import Conflict
from sadtalker_service.state.avatar_fields import (
    cursor_of,
    fields_of,
    read_avatar,
    read_avatars,
    read_cursor,
    split_name,
    text_of,
)
from sadtalker_service.state.queue_server import QueueServer
from sadtalker_service.state.records import AvatarRecord, Failure, slot_of
from sadtalker_service.state.viewer import LOCAL_OWNER, UNRESTRICTED, Viewer
from sadtalker_service.store.connections import store_errors

log = structlog.get_logger(__name__)

_LOCK_SECONDS = 60.0
_LOCK_PATIENCE = 10.0
_LOCK_PAUSE = 0.02
"""Storing a source image takes some hundredths of a second, deleting one with many videos a few seconds."""


class AvatarStore:
    """All avatars. Every method raises `StoreUnavailable` if the queue server does not answer.

    `stage`, `ready`, `failed` and `link_video` return False if the avatar was deleted in the meantime. The
    worker must then remove what it has made from it.
    """

    def __init__(self, queue: redis.Redis, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns seconds since 1970."""
        self._queue = QueueServer(queue)
        self._clock = clock

    def add(self, record: AvatarRecord, owner: str = LOCAL_OWNER) -> tuple[AvatarRecord, bool]:
        """Add an avatar. Returns the stored one, and whether it is `record`.

        It is `record` if the avatar was unknown or had failed. From now on it belongs to `owner`, and still
        to others who have uploaded the same source image.
        """
        known = self._read(record.image_id, record.slot)
        failed = known is not None and read_avatar(known).state == "failed"
        replaced = known if failed and known else ""
        json_text, is_new, uploaded_at = self._queue.named_script(
            "add_avatar", **fields_of(record), failed=replaced, beside=0, owner=owner
        )
        return read_avatar(json_text, uploaded_at), bool(is_new)

    def add_mode(self, record: AvatarRecord, owner: str = LOCAL_OWNER) -> bool:
        """Add another mode or face of a source image that `owner` has.

        Returns False if it exists already, or if the source image was deleted meanwhile.
        """
        return bool(
            self._queue.named_script("add_avatar", **fields_of(record), failed="", beside=1, owner=owner)[1]
        )

    def get(
        self, image_id: str, mode: PreprocessMode, viewer: Viewer = UNRESTRICTED, *, face_index: int = 0
    ) -> AvatarRecord | None:
        """The avatar, or None if it is unknown or `viewer` may not see it."""
        slot = slot_of(mode, face_index)
        if viewer.sees_all:
            known = self._read(image_id, slot)
            return read_avatar(known) if known else None
        return next((record for record in self.modes(image_id, viewer) if record.slot == slot), None)

    def modes(self, image_id: str, viewer: Viewer = UNRESTRICTED) -> tuple[AvatarRecord, ...]:
        """All modes and faces of the source image that `viewer` may see, sorted. Empty for an unknown source
        image, and for one of other owners."""
        return tuple(read_avatars(self._queue.script("avatar_modes", image_id, viewer.only)))

    def owners(self, image_id: str) -> tuple[str, ...]:
        """Owners who have uploaded the source image, sorted by name."""
        return tuple(owner.decode() for owner in self._queue.script("avatar_owners", image_id))

    def adopt(self, owner: str = LOCAL_OWNER) -> int:
        """Give `owner` the ownerless avatars and videos of an earlier version. Returns the count."""
        return cast("int", self._queue.script("adopt_avatars", owner))

    def stage(self, image_id: str, mode: PreprocessMode, stage: str, face_index: int = 0) -> bool:
        """Record that `stage` is being computed and the previous one is done. Repeat it while it runs."""

        def change(record: AvatarRecord) -> AvatarRecord:
            if record.state != "processing":
                return record
            is_next = record.stage not in {None, stage}
            done = (*record.stages, cast("str", record.stage)) if is_next else record.stages
            return replace(record, stage=stage, stages=done, changed_at=self._clock())

        return self._change(image_id, slot_of(mode, face_index), change)

    def ready(
        self,
        image_id: str,
        mode: PreprocessMode,
        *,
        stages: tuple[str, ...],
        seconds: Mapping[str, float],
        face_box: tuple[float, float, float, float] | None = None,
        face_score: float | None = None,
        face_index: int = 0,
        faces: tuple[tuple[float, float, float, float], ...] = (),
        warnings: tuple[str, ...] = (),
    ) -> bool:
        """Record that every stage is computed. `seconds`: time of each stage."""
        return self._change(
            image_id,
            slot_of(mode, face_index),
            lambda record: replace(
                record,
                state="ready",
                stage=None,
                stages=stages,
                seconds=seconds,
                face_box=face_box,
                face_score=face_score,
                faces=faces,
                warnings=warnings,
                failure=None,
                changed_at=self._clock(),
            ),
        )

    def reopen(self, image_id: str, mode: PreprocessMode, face_index: int = 0) -> bool:
        """Mark a ready avatar for a new preparation, because its artefacts were lost. Returns False if it is
        already being prepared, or was deleted."""
        opened = False

        def change(record: AvatarRecord) -> AvatarRecord:
            nonlocal opened
            opened = record.state == "ready"
            if not opened:
                return record
            return replace(record, state="processing", stage=None, stages=(), changed_at=self._clock())

        return self._change(image_id, slot_of(mode, face_index), change) and opened

    def once_in(self, image_id: str, seconds: float) -> bool:
        """True for the first caller within `seconds`, among all callers for this source image."""
        milliseconds = int(1000 * seconds)
        return bool(self._queue.command("SET", f"refreshed:{image_id}", 1, "NX", "PX", milliseconds))

    def failed(self, image_id: str, mode: PreprocessMode, failure: Failure, face_index: int = 0) -> bool:
        """Record that it cannot be prepared."""
        return self._change(
            image_id,
            slot_of(mode, face_index),
            lambda record: replace(
                record, state="failed", stage=None, failure=failure, changed_at=self._clock()
            ),
        )

    def unprepared(self, older_than: float) -> tuple[tuple[str, PreprocessMode, int], ...]:
        """(image id, mode, face index) of avatars in preparation without any progress for `older_than`
        seconds.

        Each is given to one caller only, until `older_than` seconds have passed again.
        """
        now = self._clock()
        names = self._queue.script("claim_unprepared", now - older_than, now)
        return tuple(split_name(name) for name in names)

    def list(
        self, limit: int = 50, cursor: str | None = None, viewer: Viewer = UNRESTRICTED
    ) -> tuple[tuple[AvatarRecord, ...], str | None]:
        """Up to `limit` avatars that `viewer` may see, the latest upload first, and the cursor of the next
        page or None.

        Raises `InvalidOption` for an invalid cursor.
        """
        score, name = read_cursor(cursor) if cursor else ("", "")
        texts, last, last_score, times = self._queue.script("list_avatars", limit, score, name, viewer.only)
        return tuple(map(read_avatar, texts, times)), cursor_of(last_score, last) if last else None

    def count(self, viewer: Viewer = UNRESTRICTED) -> int:
        """Number of avatars that `viewer` may see; every mode of a source image counts."""
        name = "avatars" if viewer.sees_all else f"avatars:{viewer.owner}"
        return cast("int", self._queue.command("ZCARD", name))

    def videos(self, image_id: str, viewer: Viewer = UNRESTRICTED) -> int:
        """Number of stored videos of a source image that `viewer` may see."""
        if viewer.sees_all:
            return cast("int", self._queue.command("SCARD", f"avatar_videos:{image_id}"))
        return cast("int", self._queue.script("count_videos", image_id, viewer.owner))

    def link_video(self, image_id: str, result_key: str) -> bool:
        """Record that a video is about to be published, so that deleting the avatar deletes it too. Call it
        before the file exists. False: the avatar was deleted, and the video must not be published."""
        return bool(self._queue.script("link_video", image_id, result_key))

    def delete(self, image_id: str) -> tuple[str, ...] | None:
        """Delete the avatar in every mode, for all owners. Returns the names of its videos, None if unknown.

        From now on none of its sessions can become ready, and no new one is accepted. Each video is returned
        again until `SessionStore.delete_video` was called for it, because a removal may be interrupted.
        """
        videos = self._queue.script("delete_avatar", image_id)
        return None if videos is None else tuple(key.decode() for key in videos)

    def disown(self, image_id: str, owner: str) -> bool | None:
        """Take the avatar from `owner`. Returns None if it is not theirs.

        True: it has no other owner. Delete it, and call `deleted` afterwards. False: other owners keep it.
        Videos that only this owner had are then in `videos_to_remove`.
        """
        is_last = self._queue.script("disown_avatar", image_id, owner)
        return None if is_last is None else bool(is_last)

    def deleted(self, image_id: str) -> None:
        """Record that nothing is left of a deleted source image."""
        self._queue.command("DEL", f"deleting:{image_id}")

    def videos_to_remove(self) -> tuple[str, ...]:
        """Videos without an owner. Call `claim_unowned` before a file is removed, and `removed` after it."""
        return tuple(item.decode() for item in self._queue.command("SMEMBERS", "videos_to_remove"))

    def claim_unowned(self, result_key: str) -> bool:
        """Forget a video without an owner. False if it is being rendered again; then its file stays."""
        return bool(self._queue.script("claim_unowned", result_key))

    def removed(self, result_key: str) -> None:
        """Record that the file of a video without an owner is removed."""
        self._queue.command("SREM", "videos_to_remove", result_key)

    def to_forget(self) -> tuple[str, ...]:
        """Deleted source images that may still have artefacts in the cache."""
        return tuple(item.decode() for item in self._queue.command("SMEMBERS", "to_forget"))

    def forgotten(self, image_id: str) -> None:
        """Record that the cache holds nothing of a deleted source image."""
        self._queue.command("SREM", "to_forget", image_id)

    @contextmanager
    def alone(self, image_id: str) -> Iterator[None]:
        """Context manager that excludes every other upload or deletion of this source image.

        Raises `Conflict` if another one does not finish in time.
        """
        lock = self._queue.client.lock(
            f"lock:avatar:{image_id}",
            timeout=_LOCK_SECONDS,  # a process that died must not hold it for ever
            blocking_timeout=_LOCK_PATIENCE,
            sleep=_LOCK_PAUSE,
            thread_local=False,
        )
        with store_errors():
            acquired = lock.acquire()
        if not acquired:
            raise Conflict(
                "This source image is being stored or deleted right now. Try again in a moment.",
                retry_after=_LOCK_PATIENCE,
            )
        try:
            yield
        finally:
            with store_errors():
                try:
                    lock.release()
                except LockNotOwnedError:
                    log.warning("avatar_lock_outlasted", image_id=image_id, seconds=_LOCK_SECONDS)

    def _read(self, image_id: str, slot: str) -> bytes | None:
        return cast("bytes | None", self._queue.command("GET", f"avatar:{image_id}:{slot}"))

    def _change(self, image_id: str, slot: str, change: Callable[[AvatarRecord], AvatarRecord]) -> bool:
        """Apply `change` to the avatar. Returns whether it exists."""
        while (known := self._read(image_id, slot)) is not None:
            record = change(read_avatar(known))
            since = record.changed_at if record.state == "processing" else ""
            if self._queue.script("change_avatar", image_id, slot, known, text_of(record), since):
                return True
        return False
