"""Unfinished files of killed workers are removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sadtalker_service.settings import Settings
from sadtalker_service.worker.scratch import scratch_folder


def test_a_restarted_worker_gets_an_empty_folder(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    (scratch_folder(settings, "render-1@host") / "half.mp4").write_bytes(b"x")
    (scratch_folder(settings, "render-2@host") / "half.mp4").write_bytes(b"x")
    folder = scratch_folder(settings, "render-1@host")
    assert list(folder.iterdir()) == []
    assert [path.name for path in (tmp_path / "scratch" / "render-2@host").iterdir()] == ["half.mp4"]


def test_folders_of_lost_workers_are_removed_after_a_day(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    old = scratch_folder(settings, "old@host")
    (old / "half.mp4").write_bytes(b"x")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))
    scratch_folder(settings, "new@host")
    assert not old.exists()
