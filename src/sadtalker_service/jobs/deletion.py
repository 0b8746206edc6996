"""Deletion of avatars: who owns them, what is deleted with them, and in which order."""

from __future__ import annotations

import re

import structlog

from sadtalker_service.errors import NotFound
from sadtalker_service.jobs.summaries import AvatarCache
from sadtalker_service.state.avatars import AvatarStore
from sadtalker_service.state.sessions import SessionStore
from sadtalker_service.state.viewer import Viewer
from sadtalker_service.store.artefact_store import ArtefactStore, source_image_name, video_name
from sadtalker_service.store.cache import CacheUnavailable

log = structlog.get_logger(__name__)

_SHA256 = re.compile(r"[0-9a-f]{64}")


class AvatarDeletion:
    """Deletes avatars. Every method raises `StoreUnavailable` if the queue server does not answer."""

    def __init__(
        self, sessions: SessionStore, avatars: AvatarStore, artefacts: ArtefactStore, cache: AvatarCache
    ) -> None:
        self._sessions = sessions
        self._avatars = avatars
        self._artefacts = artefacts
        self._cache = cache

    def delete(self, image_id: str, viewer: Viewer) -> None:
        """Delete the source image, its artefacts and videos, and cancel its sessions.

        If other owners have uploaded the same source image, only what belongs to the viewer alone is deleted.
        A viewer who sees all deletes it for all owners. Artefacts in an unavailable cache are deleted later,
        by `forget_deleted`. Raises `NotFound`.
        """
        _check_image_id(image_id)
        with self._avatars.alone(image_id):
            # from here on no session of these owners can become ready
            is_last = True if viewer.sees_all else self._avatars.disown(image_id, viewer.owner)
            if is_last is None:
                raise no_avatar()
            if is_last:
                self._delete_for_all(image_id, must_be_there=viewer.sees_all)
            else:
                for session_id in self._sessions.of_image(image_id, viewer):
                    self._sessions.cancel(session_id)
                remove_unowned(self._avatars, self._artefacts)

    def _delete_for_all(self, image_id: str, *, must_be_there: bool) -> None:
        videos = self._avatars.delete(image_id)
        if must_be_there and videos is None and not self._artefacts.exists(source_image_name(image_id)):
            raise no_avatar()
        for session_id in self._sessions.of_image(image_id):
            self._sessions.cancel(session_id)
        for key in videos or ():
            self._artefacts.delete(video_name(key))
            self._sessions.delete_video(key)
        forget_deleted(self._avatars, self._cache)
        self._artefacts.delete(source_image_name(image_id))  # last, so that a repeated request can continue
        self._avatars.deleted(image_id)


def remove_unowned(avatars: AvatarStore, artefacts: ArtefactStore) -> int:
    """Remove the files of videos without an owner. Returns their number.

    The janitor calls it too, because a removal may be interrupted. Raises `StoreUnavailable`.
    """
    removed = 0
    for key in avatars.videos_to_remove():
        if avatars.claim_unowned(key):
            artefacts.delete(video_name(key))
            avatars.removed(key)
            removed += 1
    return removed


def forget_deleted(avatars: AvatarStore, cache: AvatarCache) -> int:
    """Remove what the cache holds of deleted source images. Returns their number.

    The janitor calls it too, so an unavailable cache is tried again. Raises `StoreUnavailable`.
    """
    done = 0
    for image_id in avatars.to_forget():
        try:
            cache.forget(image_id)
        except CacheUnavailable as error:
            log.warning("artefacts_not_forgotten", image_id=image_id, reason=str(error))
            break
        avatars.forgotten(image_id)
        done += 1
    return done


def _check_image_id(image_id: str) -> None:
    """Raises `NotFound` for anything but a hash, which must not become a file name."""
    if not _SHA256.fullmatch(image_id):
        raise no_avatar()


def no_avatar() -> NotFound:
    """The error for an avatar that does not exist, or that the client may not see."""
    return NotFound("There is no such avatar. Upload its source image first.", param="image_id")
