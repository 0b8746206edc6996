"""The two places for artefact files: a local folder, or a remote file system behind fsspec."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol, cast

from fsspec import AbstractFileSystem

from sadtalker_service.errors import OutputError
from sadtalker_service.files import UNFINISHED_SUFFIX, whole_file

_UNFINISHED_SECONDS = 3_600.0
"""Writing a file takes less than this. An older unfinished file was left by a crash."""
_RETRY_AFTER = 30.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Entry:
    """A stored file."""

    name: str
    size: int
    """Bytes."""
    used_at: float
    """Last time of use, seconds since 1970."""


class Files(Protocol):
    """Backend of `ArtefactStore`, which has already validated the names."""

    def put_file(self, path: Path, name: str) -> None:
        """Store a copy."""

    def put_bytes(self, data: bytes, name: str) -> None:
        """Store the bytes."""

    def open(self, name: str) -> IO[bytes]:
        """Open for reading."""

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Context manager that yields a path on this machine."""

    def path(self, name: str) -> Path | None:
        """A permanent path on this machine, or None."""

    def size(self, name: str) -> int | None:
        """Size in bytes, or None if it does not exist."""

    def version(self, name: str) -> str | None:
        """Text that changes with the content, or None if it does not exist."""

    def delete(self, name: str) -> bool:
        """Remove the file and return whether it existed."""

    def touch(self, name: str) -> None:
        """Mark the file as used now."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """The stored files under a prefix."""


class LocalFiles:
    """Files in a local folder.

    The access time holds the last use. Changing the modification time would look like new content to clients
    that resume a download.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put_file(self, path: Path, name: str) -> None:
        """Copy, write to disk, rename."""
        with path.open("rb") as source, self._unfinished(name) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def put_bytes(self, data: bytes, name: str) -> None:
        """As in `put_file`."""
        with self._unfinished(name) as target:
            target.write(data)

    def open(self, name: str) -> IO[bytes]:
        """Open the file."""
        return (self._root / name).open("rb")

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Yield the file itself."""
        path = self._root / name
        path.stat()
        yield path

    def path(self, name: str) -> Path | None:
        """The path of the file, or None if it does not exist."""
        path = self._root / name
        return path if path.is_file() else None

    def size(self, name: str) -> int | None:
        """Size in bytes."""
        try:
            return (self._root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def version(self, name: str) -> str | None:
        """Time of the last change, and size."""
        try:
            facts = (self._root / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return f"{facts.st_mtime_ns:x}-{facts.st_size:x}"

    def delete(self, name: str) -> bool:
        """Remove the file."""
        try:
            (self._root / name).unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def touch(self, name: str) -> None:
        """Set the access time."""
        path = self._root / name
        with suppress(FileNotFoundError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def entries(self, prefix: str) -> Iterator[Entry]:
        """All files except unfinished ones."""
        for path in (self._root / prefix.rpartition("/")[0]).rglob("*"):
            name = path.relative_to(self._root).as_posix()
            with suppress(FileNotFoundError):  # another process has just removed it
                facts = path.stat()
                if path.name.endswith(UNFINISHED_SUFFIX):
                    if facts.st_mtime < time.time() - _UNFINISHED_SECONDS:
                        path.unlink()
                elif path.is_file() and name.startswith(prefix):
                    yield Entry(name, facts.st_size, max(facts.st_atime, facts.st_mtime))

    @contextmanager
    def _unfinished(self, name: str) -> Iterator[IO[bytes]]:
        path = self._root / name
        with _write_errors():
            for folder in (self._root, path.parent):  # mkdir makes only the last folder private
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with whole_file(path, 0o600) as unfinished, unfinished.open("wb") as target:
                yield target
                # After a power failure a renamed file may be empty unless its content was on disk before.
                target.flush()
                os.fsync(target.fileno())


class RemoteFiles:
    """Files behind an fsspec file system.

    Object stores publish only whole objects. Their times cannot be set, so an empty object next to each file
    stores its last use.
    """

    def __init__(self, files: AbstractFileSystem, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")

    def put_file(self, path: Path, name: str) -> None:
        """Upload the file."""
        with _write_errors():
            self._files.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(path), self._at(name))

    def put_bytes(self, data: bytes, name: str) -> None:
        """Upload the bytes."""
        with _write_errors():
            self._files.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(self._at(name), data)

    def open(self, name: str) -> IO[bytes]:
        """Open for reading block by block."""
        return cast("IO[bytes]", self._files.open(self._at(name), "rb"))

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Yield a local copy."""
        with tempfile.TemporaryDirectory(prefix="sadtalker-") as folder:
            path = Path(folder) / Path(name).name
            with _write_errors():
                self._files.get_file(self._at(name), str(path))
            yield path

    def path(self, name: str) -> None:
        """None, because the file is not on this machine."""

    def size(self, name: str) -> int | None:
        """Size in bytes."""
        try:
            return int(self._files.info(self._at(name))["size"])
        except FileNotFoundError:
            return None

    def version(self, name: str) -> str | None:
        """The store's own tag, or time of the last change, and size."""
        try:
            facts = self._files.info(self._at(name))
        except FileNotFoundError:
            return None
        tag = facts.get("ETag") or facts.get("etag") or f"{_changed_at(facts):.6f}"
        return f"{hashlib.sha256(str(tag).encode()).hexdigest()[:16]}-{int(facts['size']):x}"

    def delete(self, name: str) -> bool:
        """Remove the file and its last-use mark."""
        with suppress(FileNotFoundError):
            self._files.rm_file(self._mark(name))
        try:
            self._files.rm_file(self._at(name))
        except FileNotFoundError:
            return False
        return True

    def touch(self, name: str) -> None:
        """Write the last-use mark."""
        if self.size(name) is not None:
            self._files.makedirs(self._mark(name).rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(self._mark(name), str(time.time()).encode())

    def entries(self, prefix: str) -> Iterator[Entry]:
        """All files. One listing covers the files and one the marks."""
        used = {name: _changed_at(facts) for name, facts in self._listing(f"{self._root}/.used", prefix)}
        for name, facts in self._listing(self._root, prefix):
            yield Entry(name, int(facts["size"]), max(_changed_at(facts), used.get(name, 0.0)))

    def _listing(self, root: str, prefix: str) -> Iterator[tuple[str, Any]]:
        try:
            found = self._files.find(root, detail=True)
        except FileNotFoundError:
            return
        for path, facts in found.items():
            name = path.removeprefix(root.lstrip("/") if not path.startswith("/") else root).lstrip("/")
            if name.startswith(prefix) and not name.startswith("."):
                yield name, facts

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _mark(self, name: str) -> str:
        return f"{self._root}/.used/{name}"


@contextmanager
def _write_errors() -> Iterator[None]:
    """Context manager that turns write errors into one sentence without paths."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, OutputError) as error:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        full = isinstance(cause, OSError) and cause.errno in _FULL
        reason = "its disk is full" if full else "it cannot be reached or written to"
        raise OutputError(
            f"The artefact store cannot store data: {reason}.", retry_after=_RETRY_AFTER
        ) from error


def _changed_at(facts: dict[str, Any]) -> float:
    """Last change in seconds since 1970, in whichever form the file system reports it."""
    for name in ("LastModified", "last_modified", "updated", "mtime", "created"):
        when = facts.get(name)
        if isinstance(when, datetime):
            return when.timestamp()
        if isinstance(when, (int, float)):
            return float(when)
    return 0.0
