"""Folders for workers' unfinished files; leftovers of killed workers are removed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from sadtalker_service.files import make_private
from sadtalker_service.settings import Settings

_DAY = 86_400.0


def scratch_folder(settings: Settings, worker: str, now: float | None = None) -> Path:
    """Create an empty folder for this worker, and remove folders that were not used for a day.

    Raises `OSError`.
    """
    root = settings.data_dir.expanduser().absolute() / "scratch"
    make_private(root)
    _sweep(root, (time.time() if now is None else now) - _DAY)
    folder = root / worker
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _sweep(root: Path, oldest: float) -> None:
    for folder in root.iterdir():
        # writing a file updates the time of its folder, and no job takes longer than a day
        if folder.stat(follow_symlinks=False).st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
