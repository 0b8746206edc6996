"""Check the files in a folder, and which modes can run with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sadtalker_service.domain import PREPROCESS_MODES, PreprocessMode
from sadtalker_service.engines.sadtalker.checkpoints.table import (
    OLD_FILES,
    PICTURE_SIZES,
    Checkpoint,
    PictureSize,
    needed,
)


class State(StrEnum):
    """The state of a checkpoint file."""

    PUBLISHED = "published"
    """The published file, verified by its SHA-256."""
    FITTING = "fitting"
    """The right tensors. Its SHA-256 is unknown or was not checked."""
    OTHER = "other"
    """The right tensors, but not the published file."""
    DAMAGED = "damaged"
    """Truncated, or another kind of file."""
    MISSING = "missing"
    """No file."""


@dataclass(frozen=True)
class Finding:
    """The result of checking a checkpoint file."""

    checkpoint: Checkpoint
    path: Path
    state: State
    reason: str = ""
    """The fault in a few words, or empty."""

    @property
    def runs(self) -> bool:
        """Whether the engine can load it."""
        return self.state in (State.PUBLISHED, State.FITTING, State.OTHER)

    @property
    def sound(self) -> bool:
        """Whether it is the published file, as far as this can be checked."""
        return self.state in (State.PUBLISHED, State.FITTING)


def examine(checkpoint: Checkpoint, path: Path, *, summed: bool = True) -> Finding:
    """Check the file at `path`, which may be missing.

    `summed`: also compare its SHA-256, which reads the whole file. Otherwise, a file of the published size is
    checked only for its type and its end. Any other file is checked for the names and shapes of its tensors.
    """
    if not path.is_file():
        return Finding(checkpoint, path, State.MISSING)
    size = path.stat().st_size
    sized = checkpoint.size in (None, size)
    try:
        found = sha256(path) if summed and sized and checkpoint.sha256 else None
    except OSError as error:
        return Finding(checkpoint, path, State.DAMAGED, f"it cannot be read ({error.strerror})")
    if found and found == checkpoint.sha256:
        return Finding(checkpoint, path, State.PUBLISHED)
    fault = checkpoint.content.fault(path, deep=summed or checkpoint.size != size)
    if fault:
        reason = fault if sized else f"{size:,} of {checkpoint.size:,} bytes; {fault}"
        return Finding(checkpoint, path, State.DAMAGED, reason)
    other = ""
    if not sized:
        other = f"it has {size:,} bytes; the published file has {checkpoint.size:,}"
    elif found:
        other = f"its SHA-256 is {found}; that of the published file is {checkpoint.sha256}"
    return Finding(checkpoint, path, State.OTHER if other else State.FITTING, other)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Ability:
    """A preprocess mode at a size, and the files that it lacks."""

    preprocess: PreprocessMode
    size: PictureSize
    lacking: tuple[str, ...]
    """Names of missing or damaged files. Empty if the mode can run."""


def abilities(findings: Iterable[Finding]) -> tuple[Ability, ...]:
    """Every preprocess mode at every size."""
    present = {finding.checkpoint.name for finding in findings if finding.runs}
    return tuple(
        Ability(mode, size, tuple(c.file for c in needed(mode, size) if c.name not in present))
        for size in PICTURE_SIZES
        for mode in PREPROCESS_MODES
    )


def lacking(folder: Path, preprocess: PreprocessMode, size: PictureSize) -> tuple[Checkpoint, ...]:
    """The checkpoints that a preprocess mode needs at a size and that are not in the folder. Does not read
    contents."""
    return tuple(c for c in needed(preprocess, size) if not (folder / c.file).is_file())


def old_files(folder: Path) -> tuple[str, ...]:
    """Names of files in the folder that are from the first release and are not read."""
    return tuple(name for name in OLD_FILES if (folder / name).is_file())
