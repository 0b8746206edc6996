"""Artefact cache in a folder: one file per key, for one machine and any number of processes.

    {root}/face_mesh/{image_hash}/{mode}/{engine}/{version}.safetensors

The modification time of a file is its expiry (0: never). The access time is its last use.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sadtalker_service.domain import Artefact
from sadtalker_service.errors import OutputError
from sadtalker_service.files import whole_file
from sadtalker_service.store.cache import CacheUnavailable
from sadtalker_service.store.codec import CorruptArtefact, decode, encode
from sadtalker_service.store.keys import key_parts

_SUFFIX = ".safetensors"
_SWEEPS_PER_FILLING = 32
"""The folder is measured after writing this fraction of `max_bytes`. It may exceed its limit by the same
amount."""


class DirectoryCache:
    """Stores artefacts in a folder and evicts the least recently used."""

    def __init__(self, root: Path, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        """`root` is created on the first write. `clock` returns seconds since 1970."""
        self._root = root
        self._max_bytes = max_bytes
        self._clock = clock
        self._unmeasured = max_bytes  # measure the folder at the first write
        self._lock = threading.Lock()

    def get(self, key: str) -> Artefact | None:
        """The artefact, or None. Removes it if it has expired or cannot be read."""
        path = self._path(key)
        try:
            expires = path.stat().st_mtime
            if 0 < expires <= self._clock():
                path.unlink(missing_ok=True)
                return None
            data = path.read_bytes()
            os.utime(path, (self._clock(), expires))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CacheUnavailable(f"cannot read the cache in {self._root}: {error.strerror}") from error
        try:
            return decode(data)
        except CorruptArtefact:
            path.unlink(missing_ok=True)
            return None

    def put(self, key: str, artefact: Artefact, lifetime: float | None) -> None:
        """Store `artefact` and evict others if necessary."""
        path = self._path(key)
        data = encode(artefact)
        now = self._clock()
        try:
            for folder in (self._root, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with whole_file(path, 0o600) as unfinished:
                unfinished.write_bytes(data)
                os.utime(unfinished, (now, 0.0 if lifetime is None else now + lifetime))
            self._make_room(len(data))
        except OutputError as error:
            raise CacheUnavailable(f"cannot write the cache in {self._root}: {error}") from error
        except OSError as error:
            raise CacheUnavailable(f"cannot write the cache in {self._root}: {error.strerror}") from error

    def _path(self, key: str) -> Path:
        *folders, name = key_parts(key)
        return self._root.joinpath(*folders, name + _SUFFIX)

    def _make_room(self, written: int) -> None:
        with self._lock:
            self._unmeasured += written
            if self._unmeasured * _SWEEPS_PER_FILLING < self._max_bytes:
                return
            self._unmeasured = 0
            files = sorted((s.st_atime, s.st_size, path) for path, s in self._files())
            total = sum(size for _, size, _ in files)
            for _, size, path in files:
                if total <= self._max_bytes:
                    break
                path.unlink(missing_ok=True)
                total -= size

    def _files(self) -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self._root.rglob("*" + _SUFFIX):
            with suppress(FileNotFoundError):  # another process may have removed it
                found.append((path, path.stat()))
        return found
