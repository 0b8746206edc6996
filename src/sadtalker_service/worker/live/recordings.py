"""Makes videos of the recordings of live sessions, also of those whose worker was killed.

A recording is a folder, see `recording`. Who holds its lock works on it. What could not be finished, because
the worker died or the store of videos did not answer, stays there, and the next round tries it again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from sadtalker_service.domain import SourceType, VideoResult
from sadtalker_service.errors import OutputError
from sadtalker_service.jobs.stores import Stores
from sadtalker_service.live.avatar import LIVE_FPS
from sadtalker_service.settings import Settings
from sadtalker_service.state.live_records import (
    LiveRecording,
    LiveSession,
    recording_key,
    request_body,
)
from sadtalker_service.state.records import Session, VideoSpec
from sadtalker_service.state.retry import retry_while_unavailable
from sadtalker_service.store.artefact_store import video_name
from sadtalker_service.worker.live.finishing import FACTS, FINISHED
from sadtalker_service.worker.live.recording import FolderLock, Recording

log = structlog.get_logger(__name__)

_LONGEST_WORK = 1_800.0
"""Seconds for the file of one recording."""


class Recordings:
    """The recordings on this machine. Use it in one thread, except `open`."""

    def __init__(
        self, settings: Settings, stores: Stores, source_type: Callable[[str], SourceType | None]
    ) -> None:
        """`source_type` says what the videos of an engine are."""
        self._root = settings.data_dir.expanduser().absolute() / "live"
        self._most_seconds = settings.live_recording_seconds
        self._stores = stores
        self._source_type = source_type

    def open(self, session: LiveSession) -> Recording | None:
        """A recording for a session that begins, if it shall be recorded."""
        if not session.spec.record or not self._most_seconds:
            return None
        return Recording(self._root / session.session_id, LIVE_FPS, self._most_seconds)

    def save(self, recording: Recording) -> None:
        """Make the video of a recording whose session has ended. Raises `StoreUnavailable`."""
        if not recording.folder.is_dir():
            session_id = recording.folder.name
            reason = "Nothing was recorded." if recording.stopped is None else _UNWRITTEN
            retry_while_unavailable(lambda: self._tell(session_id, LiveRecording("lost", message=reason)))
            return
        recording.let_go()
        self._save(recording.folder)

    def save_all(self) -> None:
        """Make the videos of recordings that nobody works on. Raises `StoreUnavailable`."""
        for folder in sorted(self._root.iterdir()) if self._root.is_dir() else ():
            self._save(folder)

    def _save(self, folder: Path) -> None:
        lock = FolderLock(folder)
        try:
            if lock.take() and self._is_settled(folder, lock.file):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:  # somebody else has just removed it, or the disk is broken
            log.info("live_recording_left", session_id=folder.name, reason=error.strerror)
        finally:
            lock.release()

    def _is_settled(self, folder: Path, lock: int) -> bool:
        """Publish the video of a folder. False if that must be tried again later."""
        session_id = folder.name
        session = retry_while_unavailable(lambda: self._stores.live.get(session_id))
        if session is None:
            log.warning("live_recording_forgotten", session_id=session_id)
            return True
        if session.state != "closed":  # the lease of a killed worker has not ended yet
            return False
        saved = self._saved(folder, session, lock)
        if saved is None:
            return False
        retry_while_unavailable(lambda: self._tell(session_id, saved))
        return True

    def _saved(self, folder: Path, session: LiveSession, lock: int) -> LiveRecording | None:
        """What has become of a recording; None if it must be tried again."""
        image_id, key = session.spec.image_id, recording_key(session.session_id)
        # from here on a deletion of the avatar includes the video
        if not retry_while_unavailable(lambda: self._stores.avatars.link_video(image_id, key)):
            return _DELETED
        made = self._finished(folder, session, lock)
        if "error" in made:
            log.warning("live_recording_not_made", session_id=session.session_id, **made)
            return None if made["retryable"] else LiveRecording("lost", message=made["message"])
        try:
            return self._published(session, folder / FINISHED, made)
        except OutputError as error:
            log.warning("live_recording_not_stored", session_id=session.session_id, reason=error.message)
            return None

    def _finished(self, folder: Path, session: LiveSession, lock: int) -> dict[str, Any]:
        """The facts of the finished file, or `error`, `message` and whether it is `retryable`."""
        if (folder / FACTS).exists():  # only its publication has failed
            known: dict[str, Any] = json.loads((folder / FACTS).read_text())
            return known
        source_type = self._source_type(session.spec.engine) or "trainedAlgorithmicMedia"
        module = "sadtalker_service.worker.live.finishing"
        try:
            # it holds the lock too, so that nobody else begins the same if this process is killed
            ran = subprocess.run(  # noqa: S603  this package's own module
                [sys.executable, "-m", module, str(folder), str(LIVE_FPS), source_type],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                pass_fds=(lock,),
                timeout=_LONGEST_WORK,
                check=True,
            )
        except (subprocess.SubprocessError, OSError) as error:
            return {"error": "crashed", "message": str(error), "retryable": True}
        made: dict[str, Any] = json.loads(ran.stdout)
        return made

    def _published(self, session: LiveSession, file: Path, made: dict[str, Any]) -> LiveRecording:
        """Raises `OutputError`, `StoreUnavailable`."""
        stores, video = self._stores, _session_of(session, made)
        name = video_name(video.result_key)
        stores.artefacts.put_file(file, name)
        if retry_while_unavailable(lambda: stores.sessions.add_finished(video)):
            log.info("live_recording_saved", session_id=session.session_id, **made)
            return LiveRecording("ready", made["seconds"])
        stores.artefacts.delete(name)
        return _DELETED

    def _tell(self, session_id: str, saved: LiveRecording) -> None:
        self._stores.live.saved(session_id, saved)


_DELETED = LiveRecording("lost", message="The avatar was deleted, and its recordings with it.")
_UNWRITTEN = "The recording could not be written: the disk is full or cannot be used."


def _session_of(live: LiveSession, made: dict[str, Any]) -> Session:
    """The finished session of a recording. It has the same id as the live session."""
    spec, ended_at = live.spec, live.ended_at or live.started_at
    outcome = VideoResult(
        engine=spec.engine,
        width=made["width"],
        height=made["height"],
        fps=LIVE_FPS,
        frames=made["frames"],
        video_seconds=made["seconds"],
        size_bytes=made["size_bytes"],
        total_seconds=max(0.001, ended_at - live.started_at),
        seconds={},
        saved_seconds=0.0,
    )
    settings = {name: value for name, value in request_body(spec).items() if name != "image_id"}
    return Session(
        session_id=live.session_id,
        lane="standard",
        spec=VideoSpec(
            image_id=spec.image_id,
            audio_id=None,
            options=spec.options,
            engine=spec.engine,
            engine_version=spec.engine_version,
            audio_seconds=made["seconds"],
        ),
        result_key=recording_key(live.session_id),
        queued_at=live.started_at,
        started_at=live.started_at,
        settings=settings,
        owner=live.owner,
        outcome=outcome,
    )
