"""Originals, recordings and videos: a folder, or whatever else fsspec reaches (`s3://bucket/folder`).

    portraits/{sha256}        what was uploaded, bit for bit
    speech/{sha256}
    videos/{result_key}.mp4

A file is there whole or not at all.
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
"""Names that are hashes of what they hold: what is there need not be written again."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


def portrait_name(image_id: str) -> str:
    """Of an uploaded picture."""
    return f"portraits/{image_id}"


def speech_name(audio_id: str) -> str:
    """Of an uploaded recording or reference video."""
    return f"speech/{audio_id}"


def video_name(result_key: str) -> str:
    """Of a finished video."""
    return f"videos/{result_key}.mp4"


def artefact_url(settings: Settings) -> str:
    """Where the settings put the store."""
    return settings.artefact_url or str(settings.data_dir.expanduser().absolute() / "artefacts")


class ArtefactStore:
    """Files under names like `videos/abc.mp4`. Safe to use from several threads and processes.

    A name that is not of small letters, digits and `._-/`, or tries to leave the store, is a `ValueError`.
    """

    def __init__(self, url: str) -> None:
        """`url`: a folder, made when something is kept, or an fsspec URL. Raises `StoreMisconfigured`."""
        try:
            files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreMisconfigured(f"ARTEFACT_URL cannot be used: {error}") from error
        self._files: Files = (
            LocalFiles(Path(root)) if isinstance(files, LocalFileSystem) else RemoteFiles(files, root)
        )

    def put_file(self, path: Path, name: str) -> None:
        """Keep a copy of the file `path`. Raises `OutputError` (disk full)."""
        if not self._has(name, path.stat().st_size):
            self._files.put_file(path, _checked(name))

    def put_bytes(self, data: bytes, name: str) -> None:
        """Keep `data`. Raises `OutputError` (disk full)."""
        if not self._has(name, len(data)):
            self._files.put_bytes(data, _checked(name))

    def open(self, name: str) -> IO[bytes]:
        """For reading from any place. Raises `FileNotFoundError`."""
        return self._files.open(_checked(name))

    def local(self, name: str) -> AbstractContextManager[Path]:
        """A block with a path under which the file can be read: itself, or a copy for the time of the block.

        Raises `FileNotFoundError`.
        """
        return self._files.local(_checked(name))

    def path(self, name: str) -> Path | None:
        """Where it lies on this machine, or None."""
        return self._files.path(_checked(name))

    def size(self, name: str) -> int | None:
        """Bytes, or None if it is not there."""
        return self._files.size(_checked(name))

    def exists(self, name: str) -> bool:
        """Whether it is there."""
        return self.size(name) is not None

    def delete(self, name: str) -> bool:
        """Remove it; whether it was there. Who is reading it at this moment reads on."""
        return self._files.delete(_checked(name))

    def touch(self, name: str) -> None:
        """Mark it as used now. Nothing happens if it is not there."""
        self._files.touch(_checked(name))

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """What is kept under names that begin with `prefix` (`videos/`), in no order.

        Files that a crash left unfinished, over an hour ago, are removed on the way.
        """
        return self._files.entries(prefix)

    def _has(self, name: str, size: int) -> bool:
        """Whether the same content is there already; it then counts as used."""
        if not name.startswith(CONTENT_ADDRESSED) or self.size(name) != size:
            return False
        self.touch(name)
        return True


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a name of an artefact: {name!r}")
    return name
