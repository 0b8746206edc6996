"""A file that is there whole or not at all: written under another name in its folder, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sadtalker_service.errors import OutputError

_OTHERS = 0o077
"""Permissions of everybody but the owner."""

UNFINISHED_SUFFIX = ".part"
"""End of the names of files that are being written; a crash leaves them behind."""

_REASONS = {
    errno.ENOENT: "the folder {folder} does not exist; create it first",
    errno.ENOTDIR: "{folder} is not a folder",
    errno.EISDIR: "{path} is a folder; give the name of a file",
    errno.EACCES: "no permission to write in {folder}",
    errno.EPERM: "no permission to write in {folder}",
    errno.EROFS: "{folder} is read-only",
    errno.ENOSPC: "no space is left on its disk ({folder})",
    errno.EDQUOT: "the disk quota is used up ({folder})",
    errno.EFBIG: "the file grew larger than the system allows",
    errno.ENAMETOOLONG: "the name is too long",
}
_ABOUT_THE_FOLDER = {errno.ENOENT, errno.ENOTDIR}
"""They say that the folder itself is missing or wrong; the others, what an existing folder refuses."""


def make_private(folder: Path) -> None:
    """Make `folder`, for this user alone; close one of this user's that is there. Raises `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat()
    shared = facts.st_uid != os.geteuid() or facts.st_mode & stat.S_ISVTX
    if facts.st_mode & _OTHERS and not shared:
        folder.chmod(stat.S_IMODE(facts.st_mode) & ~_OTHERS)


def keep_files_private() -> None:
    """What this process and its children make from now on is for this user alone: pictures, voices, logs."""
    os.umask(_OTHERS)


@contextmanager
def whole_file(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a new empty file beside `path` to write to; it takes the place of `path` when the block ends
    well. `mode`: its permissions, of which the umask takes away some.

    Whatever ends the block, an interrupt too, leaves either the whole file or what was there before.
    Raises `OutputError` at once where the folder is missing or may not be written to.
    """
    path = path.absolute()
    with output_errors(path):
        _refuse_folder(path)
        temporary = _create_beside(path, mode)
    try:
        yield temporary
        with output_errors(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raises at once the `OutputError` that `whole_file(path)` would raise later."""
    path = path.absolute()
    with output_errors(path):
        _refuse_folder(path)
        _create_beside(path).unlink()


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn the system's complaints about writing `path` into one sentence: an `OutputError`."""
    try:
        yield
    except OSError as error:
        raise output_error(path, error.errno, error.strerror) from error


def output_error(path: Path, code: int | None, text: str | None) -> OutputError:
    """The `OutputError` for a system error number met while writing `path`."""
    # a folder that could not be created is not the one that is read-only: its parent is
    folder = path.parent if code in _ABOUT_THE_FOLDER else _existing(path.absolute().parent)
    reason = _REASONS.get(code or 0, text or "unknown reason").format(path=path, folder=folder)
    return OutputError(f"Cannot write {path.name}: {reason}.", param="output")


def _existing(folder: Path) -> Path:
    """`folder`, absolute, or the nearest one above it that can be reached."""
    return next(found for found in (folder, *folder.parents) if os.access(found, os.F_OK))


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))


def _create_beside(path: Path, mode: int = 0o666) -> Path:
    """An empty file with an unused hidden name; unlike `tempfile`, its permissions follow the umask."""
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}{UNFINISHED_SUFFIX}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    return temporary
