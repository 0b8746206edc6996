"""Which enhancers can be run here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from sadtalker_service.engines.sadtalker.checkpoints.table import by_name

FILES = {"gfpgan": "gfpgan", "RestoreFormer": "restoreformer", "realesrgan": "realesrgan"}
"""Enhancer as requests spell it -> checkpoint."""


def available_enhancers(folder: Path) -> tuple[str, ...]:
    """Enhancers of faces and backgrounds whose file is in `folder`; none without the package `spandrel`."""
    if find_spec("spandrel") is None:
        return ()
    return tuple(name for name, checkpoint in FILES.items() if (folder / by_name(checkpoint).file).is_file())
