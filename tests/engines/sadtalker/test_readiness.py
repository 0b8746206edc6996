"""What is said of a folder of checkpoints before torch is loaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sadtalker_service.engines.sadtalker.checkpoints.table import CHECKPOINTS
from sadtalker_service.engines.sadtalker.readiness import readiness

NOBODY = 65534


@contextmanager
def as_another_user() -> Iterator[None]:
    """Context manager: files of root with mode 0600 cannot be read, as for the user of a container."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_files_that_this_user_may_not_read_are_named(tmp_path: Path) -> None:
    for checkpoint in CHECKPOINTS:
        path = tmp_path / checkpoint.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o644)
    private = tmp_path / "SadTalker_V0.0.2_256.safetensors"
    private.chmod(0o600 if os.geteuid() == 0 else 0)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    with as_another_user():
        obstacle = readiness(tmp_path).obstacle()
    assert obstacle is not None
    assert f"may not read {private.name} in" in obstacle
