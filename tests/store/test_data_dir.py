"""`DATA_DIR` is closed to other users."""

from __future__ import annotations

import stat
from pathlib import Path

from sadtalker_service.settings import Settings
from sadtalker_service.store.artefact_store import ArtefactStore
from sadtalker_service.store.connections import run_dir


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_new_folder_is_closed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    run_dir(Settings(data_dir=data_dir))
    assert mode(data_dir) == 0o700


def test_folder_of_an_earlier_version_is_closed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    for name in ("artefacts", "queue"):
        (data_dir / name).mkdir(parents=True, mode=0o755)
    data_dir.chmod(0o755)
    run_dir(Settings(data_dir=data_dir))
    assert {mode(path) for path in (data_dir, data_dir / "artefacts", data_dir / "queue")} == {0o700}


def test_folder_with_other_things_stays_open_around_ours(tmp_path: Path) -> None:
    data_dir = tmp_path / "home"
    (data_dir / "public_html").mkdir(parents=True)
    (data_dir / "artefacts").mkdir()
    for path in (data_dir, data_dir / "public_html", data_dir / "artefacts"):
        path.chmod(0o755)
    run_dir(Settings(data_dir=data_dir))
    assert mode(data_dir) == mode(data_dir / "public_html") == 0o755
    assert mode(data_dir / "artefacts") == 0o700


def test_kept_files_are_closed(tmp_path: Path) -> None:
    store = ArtefactStore(str(tmp_path / "artefacts"))
    store.put_bytes(b"a face", "portraits/abc")
    assert mode(tmp_path / "artefacts") == mode(tmp_path / "artefacts" / "portraits") == 0o700
    assert mode(tmp_path / "artefacts" / "portraits" / "abc") == 0o600
