"""Files that are complete or absent: written under a temporary name in their folder, then renamed."""

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
"""Permission bits of group and others."""

UNFINISHED_SUFFIX = ".part"
"""Suffix of files that are being written. A crash leaves them behind."""

_REASONS = {
    errno.ENOENT: "the folder {folder} does not exist; create it first",
    errno.ENOTDIR: "{folder} is not a folder",
    errno.EISDIR: "{path} is a folder; give the name of a file",
    errno.EACCES: "no permission to write in {folder}",
    errno.EPERM: "no permission to write in {folder}",
    errno.EROFS: "{folder} is read-only",
    errno.ENOSPC: "no space is left on the disk of {folder}",
    errno.EDQUOT: "the disk quota of {folder} is used up",
    errno.EFBIG: "the file grew larger than the system allows",
    errno.ENAMETOOLONG: "the name is too long",
}
_ABOUT_THE_FOLDER = {errno.ENOENT, errno.ENOTDIR}
"""Errors about a folder that is missing or wrong. The other errors come from an existing folder."""


def make_private(folder: Path) -> None:
    """Create `folder` for this user only, or close an existing one of this user. Raises `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat()
    shared = facts.st_uid != os.geteuid() or facts.st_mode & stat.S_ISVTX
    if facts.st_mode & _OTHERS and not shared:
        folder.chmod(stat.S_IMODE(facts.st_mode) & ~_OTHERS)


def keep_files_private() -> None:
    """Make all new files of this process and its children (images, voices, logs) private to this user."""
    os.umask(_OTHERS)


@contextmanager
def whole_file(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Context manager that yields a new empty file next to `path` and renames it to `path` on success.

    `mode` holds its permissions before the umask is applied. After any exit, even an interrupt, either the
    complete file or the previous one exists. Raises `OutputError` at once if the folder is missing or not
    writable.
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


@contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    """Context manager that removes the file `path` if its body does not end well."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Raise now the `OutputError` that `whole_file(path)` would raise later."""
    path = path.absolute()
    with output_errors(path):
        _refuse_folder(path)
        _create_beside(path).unlink()


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Context manager that turns system errors on writing `path` into an `OutputError` of one sentence."""
    try:
        yield
    except OSError as error:
        raise output_error(path, error.errno, error.strerror) from error


def output_error(path: Path, code: int | None, text: str | None) -> OutputError:
    """The `OutputError` for a system error number from writing `path`."""
    # If a folder could not be created, its parent is the one that is read-only.
    folder = path.parent if code in _ABOUT_THE_FOLDER else _existing(path.absolute().parent)
    reason = _REASONS.get(code or 0, text or "unknown reason").format(path=path, folder=folder)
    return OutputError(f"Cannot write {path.name}: {reason}.", param="output")


def _existing(folder: Path) -> Path:
    """`folder`, absolute, or its nearest parent that exists."""
    return next(found for found in (folder, *folder.parents) if os.access(found, os.F_OK))


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))


def _create_beside(path: Path, mode: int = 0o666) -> Path:
    """An empty file with an unused hidden name. Unlike with `tempfile`, its permissions follow the umask."""
    temporary = path.with_name(f".{path.name[:80]}.{secrets.token_hex(4)}{UNFINISHED_SUFFIX}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    return temporary
