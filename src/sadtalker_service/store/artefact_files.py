"""The two kinds of places where artefacts lie: a folder of this machine, or what fsspec reaches elsewhere."""

from __future__ import annotations

import errno
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
"""Writing a file takes less: what is older was left by a crash."""
_RETRY_AFTER = 30.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Entry:
    """A kept file."""

    name: str
    size: int
    """Bytes."""
    used_at: float
    """Last time of use, seconds since 1970."""


class Files(Protocol):
    """See `ArtefactStore`, whose names are checked already."""

    def put_file(self, path: Path, name: str) -> None:
        """Keep a copy."""

    def put_bytes(self, data: bytes, name: str) -> None:
        """Keep the bytes."""

    def open(self, name: str) -> IO[bytes]:
        """For reading."""

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A path on this machine."""

    def path(self, name: str) -> Path | None:
        """A path on this machine that stays, if there is one."""

    def size(self, name: str) -> int | None:
        """Bytes."""

    def delete(self, name: str) -> bool:
        """Remove it."""

    def touch(self, name: str) -> None:
        """Mark it as used."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """What is kept."""


class LocalFiles:
    """Files in a folder. The access time is that of the last use: a change of the modification time would
    look like another content to those who resume a download."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put_file(self, path: Path, name: str) -> None:
        """Copied, written to the disk, renamed."""
        with path.open("rb") as source, self._unfinished(name) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def put_bytes(self, data: bytes, name: str) -> None:
        """As `put_file`."""
        with self._unfinished(name) as target:
            target.write(data)

    def open(self, name: str) -> IO[bytes]:
        """The file."""
        return (self._root / name).open("rb")

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """The file itself."""
        path = self._root / name
        path.stat()
        yield path

    def path(self, name: str) -> Path | None:
        """The file itself, if it is there."""
        path = self._root / name
        return path if path.is_file() else None

    def size(self, name: str) -> int | None:
        """Bytes."""
        try:
            return (self._root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, name: str) -> bool:
        """Remove it."""
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
        """Every file, unfinished ones left out."""
        for path in (self._root / prefix.rpartition("/")[0]).rglob("*"):
            name = path.relative_to(self._root).as_posix()
            with suppress(FileNotFoundError):  # removed by somebody else in this moment
                facts = path.stat()
                if path.name.endswith(UNFINISHED_SUFFIX):
                    if facts.st_mtime < time.time() - _UNFINISHED_SECONDS:
                        path.unlink()
                elif path.is_file() and name.startswith(prefix):
                    yield Entry(name, facts.st_size, max(facts.st_atime, facts.st_mtime))

    @contextmanager
    def _unfinished(self, name: str) -> Iterator[IO[bytes]]:
        path = self._root / name
        with _kept():
            for folder in (self._root, path.parent):  # only the last one made would be private
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with whole_file(path, 0o600) as unfinished, unfinished.open("wb") as target:
                yield target
                # after a power cut a renamed file may be empty unless its content was on the disk before
                target.flush()
                os.fsync(target.fileno())


class RemoteFiles:
    """Files behind an fsspec file system. Object stores publish whole objects only; their times cannot be
    set, so an empty object beside it remembers the last use of a file."""

    def __init__(self, files: AbstractFileSystem, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")

    def put_file(self, path: Path, name: str) -> None:
        """Sent as it is."""
        with _kept():
            self._files.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(path), self._at(name))

    def put_bytes(self, data: bytes, name: str) -> None:
        """Sent as they are."""
        with _kept():
            self._files.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(self._at(name), data)

    def open(self, name: str) -> IO[bytes]:
        """Read block by block."""
        return cast("IO[bytes]", self._files.open(self._at(name), "rb"))

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A copy."""
        with tempfile.TemporaryDirectory(prefix="sadtalker-") as folder:
            path = Path(folder) / Path(name).name
            with _kept():
                self._files.get_file(self._at(name), str(path))
            yield path

    def path(self, name: str) -> None:
        """Nowhere on this machine."""

    def size(self, name: str) -> int | None:
        """Bytes."""
        try:
            return int(self._files.info(self._at(name))["size"])
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> bool:
        """Remove it and the memory of its use."""
        with suppress(FileNotFoundError):
            self._files.rm_file(self._mark(name))
        try:
            self._files.rm_file(self._at(name))
        except FileNotFoundError:
            return False
        return True

    def touch(self, name: str) -> None:
        """Write the mark."""
        if self.size(name) is not None:
            self._files.makedirs(self._mark(name).rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(self._mark(name), str(time.time()).encode())

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Every object; one listing for the files and one for the marks."""
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
def _kept() -> Iterator[None]:
    """Say in one sentence, without paths, why something could not be kept."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, OutputError) as error:
        cause = error.__cause__ if isinstance(error, OutputError) else error
        full = isinstance(cause, OSError) and cause.errno in _FULL
        reason = "its disk is full" if full else "it cannot be reached, or not written to"
        raise OutputError(
            f"The artefact store takes nothing on: {reason}.", retry_after=_RETRY_AFTER
        ) from error


def _changed_at(facts: dict[str, Any]) -> float:
    """Seconds since 1970, whichever way a file system says it."""
    for name in ("LastModified", "last_modified", "updated", "mtime", "created"):
        when = facts.get(name)
        if isinstance(when, datetime):
            return when.timestamp()
        if isinstance(when, (int, float)):
            return float(when)
    return 0.0
