"""Writes what a live session shows to files, while it runs.

    DATA_DIR/live/{session}/lock      locked by the process that works on it
    DATA_DIR/live/{session}/000.mp4   what the first connection has shown, 001.mp4 the second, and so on

Each piece is handed to the system at once, so it survives the death of this process. `recordings` makes the
video of the files afterwards.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

import structlog

from sadtalker_service.files import make_private
from sadtalker_service.state.live_records import StopReason

log = structlog.get_logger(__name__)

_LOCK = "lock"


class Recording:
    """The files of one session. Use it in one thread at a time. Never raises: it stops."""

    def __init__(self, folder: Path, fps: int, most_seconds: float) -> None:
        """`folder` is created with the first frame. `most_seconds` is the longest length."""
        self.folder = folder
        self._fps = fps
        self._most_frames = round(most_seconds * fps)
        self._parts = self._frames = 0
        self._file: int | None = None
        self._lock: FolderLock | None = None
        self.stopped: StopReason | None = None
        """Why nothing more is recorded; None while it goes on."""

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self._frames / self._fps

    def begin(self, initialisation: bytes) -> None:
        """Begin the stream of another connection."""
        if self.stopped:
            return
        try:
            if self._lock is None:
                make_private(self.folder)
                self._lock = FolderLock(self.folder)
                self._lock.take()
            self.pause()
            path = self.folder / f"{self._parts:03}.mp4"
            self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            self._parts += 1
        except OSError as error:
            self._fail(error)
        self._write(initialisation)

    def add(self, piece: bytes) -> None:
        """Add what the encoder has given for one more frame. That ends with the frame before."""
        if self._file is None:
            return
        self._write(piece)
        if self._frames >= self._most_frames:
            self._stop("length")
        else:
            self._frames += 1

    def pause(self, last: bytes = b"") -> None:
        """End the stream of a connection, with its last piece."""
        self._write(last)
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def let_go(self) -> None:
        """Leave the files to whoever makes the video of them."""
        self.pause()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        log.warning("live_recording_stopped", session_id=self.folder.name, reason=error.strerror)
        self._stop("storage")

    def _stop(self, reason: StopReason) -> None:
        self.stopped = reason
        self.pause()


class FolderLock:
    """A lock on a folder that ends with the processes that hold it."""

    def __init__(self, folder: Path) -> None:
        """`folder` exists."""
        self._path = folder / _LOCK
        self.file = -1
        """Descriptor. A child process that inherits it holds the lock too."""

    def take(self) -> bool:
        """Whether nobody else holds it; then it is held. Raises `OSError`."""
        self.file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Give it back."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
