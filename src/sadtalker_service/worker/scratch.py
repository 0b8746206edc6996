"""Folders for unfinished files of workers: what a killed one leaves behind is cleared away."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from sadtalker_service.files import make_private
from sadtalker_service.settings import Settings

_DAY = 86_400.0


def scratch_folder(settings: Settings, worker: str, now: float | None = None) -> Path:
    """An empty folder for the worker called so; folders of others that were not used for a day are removed.

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
        # writing a file changes the time of its folder; a longer job than a day there is not
        if folder.stat(follow_symlinks=False).st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
