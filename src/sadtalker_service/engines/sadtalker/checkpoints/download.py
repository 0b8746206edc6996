"""Download checkpoints into their folder, from the Hugging Face cache, a mirror or the publisher.

A file gets its final name only when it is complete and correct. Until then it is `.NAME.part`, and the next
attempt resumes from there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

import httpx

from sadtalker_service.engines.sadtalker.checkpoints.table import Checkpoint
from sadtalker_service.engines.sadtalker.checkpoints.transfer import (
    OnProgress,
    RetryPolicy,
    TransferFailed,
    clear_note,
    forget,
    transfer,
)
from sadtalker_service.engines.sadtalker.checkpoints.verify import State, examine
from sadtalker_service.errors import EngineUnavailable, OutputError
from sadtalker_service.files import output_errors
from sadtalker_service.settings import Settings

_SPARE_BYTES = 100_000_000
"""Free space that must remain on the disk."""
_TIMEOUT = httpx.Timeout(30.0, connect=15.0)
"""Seconds without a byte, and seconds to connect."""

Free = Callable[[Path], int]
"""Returns the free bytes on the disk of a folder."""


class DownloadResult(StrEnum):
    """Where a file came from."""

    ALREADY_PRESENT = "was there"
    CACHED = "taken from the cache of Hugging Face's library"
    DOWNLOADED = "downloaded"


@dataclass(frozen=True)
class Sources:
    """Where checkpoints are looked for, in this order."""

    hub_cache: Path
    offline: bool = False
    """If set, nothing is downloaded."""
    mirror: str | None = None
    """Base URL of a folder with the files. If set, it is the only source."""
    hub: str = "https://huggingface.co"
    """Used if the publisher's own address fails."""

    @classmethod
    def of(cls, settings: Settings) -> Sources:
        """Sources from the settings."""
        return cls(
            hub_cache=settings.hub_cache_folder,
            offline=settings.offline,
            mirror=settings.sadtalker_checkpoints_url,
            hub=settings.hf_endpoint,
        )

    def urls(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """URLs of a file."""
        if self.mirror:
            return (f"{self.mirror.rstrip('/')}/{checkpoint.file}",)
        if checkpoint.hub is None:
            return (checkpoint.url,)
        return (
            checkpoint.url,
            f"{self.hub.rstrip('/')}/{checkpoint.hub}/resolve/main/{checkpoint.file}",
        )

    def cached(self, checkpoint: Checkpoint) -> Path | None:
        """The file in the cache of the Hugging Face library, the newest if there are several."""
        if checkpoint.hub is None:
            return None
        folder = self.hub_cache / f"models--{checkpoint.hub.replace('/', '--')}" / "snapshots"
        found = [path for path in folder.glob(f"*/{checkpoint.file}") if path.is_file()]
        return max(found, key=lambda path: path.stat().st_mtime, default=None)


def open_client() -> httpx.Client:
    """A client that follows redirects and takes proxies and certificates from the environment.

    Raises `EngineUnavailable` if a proxy's address is invalid.
    """
    try:
        return httpx.Client(follow_redirects=True, timeout=_TIMEOUT)
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise EngineUnavailable(f"The proxy set in the environment cannot be used: {error}") from error


def disk_free(folder: Path) -> int:
    """Free bytes on the disk of `folder`, which may not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def check_room(folder: Path, checkpoints: Sequence[Checkpoint], free: Free = disk_free) -> None:
    """Raise `OutputError` if the disk has no room for the files that are still missing.

    Files of unknown size count as zero.
    """
    wanted = sum(max((c.size or 0) - _size(_part(folder, c)), 0) for c in checkpoints)
    free_bytes = free(folder)
    if wanted and wanted + _SPARE_BYTES > free_bytes:
        raise OutputError(
            f"There is no room in {folder}: {(wanted + _SPARE_BYTES) / 1e9:.2f} GB are needed and "
            f"{free_bytes / 1e9:.2f} GB are free. Free some space or set"
            " SADTALKER_CHECKPOINTS_PATH to another disk.",
        )


def download_checkpoint(
    checkpoint: Checkpoint,
    folder: Path,
    sources: Sources,
    client: httpx.Client,
    policy: RetryPolicy,
    on_progress: OnProgress,
) -> DownloadResult:
    """Make sure that the correct file is in `folder`.

    A damaged file is replaced once the new one is complete. Raises `EngineUnavailable` if a different file
    has that name, or if no source has the file. Raises `OutputError` if the file cannot be written.
    """
    target = folder / checkpoint.file
    finding = examine(checkpoint, target)
    if finding.sound:
        return DownloadResult.ALREADY_PRESENT
    if finding.state is State.OTHER:
        raise EngineUnavailable(
            f"{target} is not the published file: {finding.reason}. It is left alone. Move it away to get"
            " the published one."
        )
    _make(folder)
    with output_errors(target), _locked(_part(folder, checkpoint)) as part:
        came = _fill(checkpoint, part, sources, client, policy, on_progress)
        _put_into_place(part, target)
    return came


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the folder {folder}: {error.strerror}. Set SADTALKER_CHECKPOINTS_PATH to another."
        ) from error


def _fill(
    checkpoint: Checkpoint,
    part: Path,
    sources: Sources,
    client: httpx.Client,
    policy: RetryPolicy,
    on_progress: OnProgress,
) -> DownloadResult:
    cached = sources.cached(checkpoint)
    refused = []
    if cached:
        found = examine(checkpoint, cached)
        if found.sound:
            forget(part)
            shutil.copyfile(cached, part)
            return DownloadResult.CACHED
        refused.append(f"{cached}: {found.reason}")
    if sources.offline:
        cache_error = f" ({refused[0]})" if refused else ""
        raise EngineUnavailable(
            f"{checkpoint.file} is not in {sources.hub_cache}{cache_error}, and HF_HUB_OFFLINE forbids the "
            f"download. Unset it, or copy the file to {part.parent}."
        )
    for url in sources.urls(checkpoint):
        try:
            _download(checkpoint, url, part, client, policy, on_progress)
        except TransferFailed as error:
            refused.append(f"{url}: {error}")
        else:
            return DownloadResult.DOWNLOADED
    raise EngineUnavailable(f"{checkpoint.file} cannot be downloaded. {'; '.join(refused)}.")


def _download(
    checkpoint: Checkpoint,
    url: str,
    part: Path,
    client: httpx.Client,
    policy: RetryPolicy,
    on_progress: OnProgress,
) -> None:
    """Fill `part` with the correct file. If a resumed download is wrong, download it again, once."""
    resumed = transfer(client, url, part, size=checkpoint.size, policy=policy, on_progress=on_progress)
    found = examine(checkpoint, part)
    if not found.sound and resumed:
        forget(part)
        transfer(client, url, part, size=checkpoint.size, policy=policy, on_progress=on_progress)
        found = examine(checkpoint, part)
    if not found.sound:
        forget(part)
        raise TransferFailed(f"the content is not {checkpoint.file}: {found.reason}")


def _put_into_place(part: Path, target: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())  # the final name must not survive a power cut without the bytes
    part.replace(target)
    clear_note(part)


@contextmanager
def _locked(part: Path) -> Iterator[Path]:
    """Context manager that locks the part file, creating it if needed, against other processes that download
    it."""
    with _open_locked(part):
        try:
            yield part
        except BaseException:
            if _size(part) == 0:
                part.unlink(missing_ok=True)
                clear_note(part)
            raise


def _open_locked(part: Path) -> IO[bytes]:
    """The part file, opened and locked until it is closed."""
    while True:
        file = part.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the previous owner of the lock may have given the file its final name in the meantime
            if part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat()):
                return file
        except BlockingIOError:
            file.close()
            name = part.name[1:].removesuffix(".part")
            raise EngineUnavailable(f"Another process is downloading {name}.") from None
        file.close()


def _part(folder: Path, checkpoint: Checkpoint) -> Path:
    return folder / f".{checkpoint.file}.part"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
