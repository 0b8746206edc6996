"""Uploads and videos, in a folder or anything else that fsspec reaches (`s3://bucket/folder`).

    portraits/{sha256}        uploaded source images, bit for bit
    speech/{sha256}           uploaded driven audio, reference videos and pictures of backgrounds
    videos/{result_key}.mp4   also a WebM or mov has such a name

Files are written completely or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from sadtalker_service.errors import StoreMisconfigured
from sadtalker_service.settings import Settings
from sadtalker_service.store.artefact_files import Entry, Files, LocalFiles, RemoteFiles

CONTENT_ADDRESSED = ("portraits/", "speech/")
"""Prefixes of names that are hashes of their content. An existing file need not be written again."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


def source_image_name(image_id: str) -> str:
    """Name of an uploaded source image."""
    return f"portraits/{image_id}"


def speech_name(audio_id: str) -> str:
    """Name of an uploaded driven audio, reference video or picture of a background."""
    return f"speech/{audio_id}"


def video_name(result_key: str) -> str:
    """Name of a finished video."""
    return f"videos/{result_key}.mp4"


def artefact_url(settings: Settings) -> str:
    """Location of the store in the settings."""
    return settings.artefact_url or str(settings.data_dir.expanduser().absolute() / "artefacts")


class ArtefactStore:
    """Files under names like `videos/abc.mp4`. Safe to use from several threads and processes.

    Names consist of lower-case letters, digits and `._-/`. Other names, and names that leave the store, raise
    `ValueError`.
    """

    def __init__(self, url: str) -> None:
        """`url` is a folder, created on the first write, or an fsspec URL. Raises `StoreMisconfigured`."""
        try:
            files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreMisconfigured(f"ARTEFACT_URL cannot be used: {error}") from error
        self._files: Files = (
            LocalFiles(Path(root)) if isinstance(files, LocalFileSystem) else RemoteFiles(files, root)
        )

    def put_file(self, path: Path, name: str) -> None:
        """Store a copy of the file `path`. Raises `OutputError` (disk full)."""
        if not self._has(name, path.stat().st_size):
            self._files.put_file(path, _checked(name))

    def put_bytes(self, data: bytes, name: str) -> None:
        """Store `data`. Raises `OutputError` (disk full)."""
        if not self._has(name, len(data)):
            self._files.put_bytes(data, _checked(name))

    def open(self, name: str) -> IO[bytes]:
        """Open for reading, wherever the file is. Raises `FileNotFoundError`."""
        return self._files.open(_checked(name))

    def local(self, name: str) -> AbstractContextManager[Path]:
        """Context manager that yields a readable local path: the file itself or a temporary copy.

        Raises `FileNotFoundError`.
        """
        return self._files.local(_checked(name))

    def path(self, name: str) -> Path | None:
        """Path on this machine, or None."""
        return self._files.path(_checked(name))

    def size(self, name: str) -> int | None:
        """Size in bytes, or None if it does not exist."""
        return self._files.size(_checked(name))

    def version(self, name: str) -> str | None:
        """Text that another file under this name would not have. None if there is no file."""
        return self._files.version(_checked(name))

    def exists(self, name: str) -> bool:
        """Whether it exists."""
        return self.size(name) is not None

    def delete(self, name: str) -> bool:
        """Remove the file and return whether it existed. Readers that have opened it can finish."""
        return self._files.delete(_checked(name))

    def touch(self, name: str) -> None:
        """Mark the file as used now. Does nothing if it does not exist."""
        self._files.touch(_checked(name))

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """The files whose names start with `prefix` (`videos/`), in no order.

        Also removes files that a crash left unfinished over an hour ago.
        """
        return self._files.entries(prefix)

    def _has(self, name: str, size: int) -> bool:
        """Whether the same content exists already. It is then marked as used."""
        if not name.startswith(CONTENT_ADDRESSED) or self.size(name) != size:
            return False
        self.touch(name)
        return True


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"not an artefact name: {name!r}")
    return name
