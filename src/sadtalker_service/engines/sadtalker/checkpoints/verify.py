"""Whether the files in a folder are what they should be, and what can be run with them."""

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
    """What was found under a checkpoint's name."""

    PUBLISHED = "published"
    """The very file that was published, by its SHA-256."""
    FITTING = "fitting"
    """The right tensors; no SHA-256 to compare with is known, or it was not asked for."""
    OTHER = "other"
    """The right tensors, but not the file that was published."""
    DAMAGED = "damaged"
    """Cut short, or something else."""
    MISSING = "missing"
    """No file."""


@dataclass(frozen=True)
class Finding:
    """What was found under a checkpoint's name."""

    checkpoint: Checkpoint
    path: Path
    state: State
    reason: str = ""
    """What is wrong, in a few words; empty where nothing is."""

    @property
    def runs(self) -> bool:
        """Whether the engine can load it."""
        return self.state in (State.PUBLISHED, State.FITTING, State.OTHER)

    @property
    def sound(self) -> bool:
        """Whether it is the published file as far as that can be told."""
        return self.state in (State.PUBLISHED, State.FITTING)


def examine(checkpoint: Checkpoint, path: Path, *, summed: bool = True) -> Finding:
    """Check the file at `path`, which may be missing.

    `summed`: compare its SHA-256 too, which reads it whole. Otherwise a file of the published size is looked
    at for its kind and its end alone, and any other for its tensors' names and shapes.
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
    """A preprocess mode at a size, and what keeps it from being run."""

    preprocess: PreprocessMode
    size: PictureSize
    lacking: tuple[str, ...]
    """File names that are missing or damaged; none: it can be run."""


def abilities(findings: Iterable[Finding]) -> tuple[Ability, ...]:
    """Every preprocess mode at every size."""
    there = {finding.checkpoint.name for finding in findings if finding.runs}
    return tuple(
        Ability(mode, size, tuple(c.file for c in needed(mode, size) if c.name not in there))
        for size in PICTURE_SIZES
        for mode in PREPROCESS_MODES
    )


def lacking(folder: Path, preprocess: PreprocessMode, size: PictureSize) -> tuple[Checkpoint, ...]:
    """What a preprocess mode at a size needs and the folder has not; contents are not looked at."""
    return tuple(c for c in needed(preprocess, size) if not (folder / c.file).is_file())


def old_files(folder: Path) -> tuple[str, ...]:
    """Names of files in the folder that are of the first release and are not read."""
    return tuple(name for name in OLD_FILES if (folder / name).is_file())
