"""Which enhancers can be run here. Nothing is loaded to find that out."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from sadtalker_service.engines.sadtalker.checkpoints.table import by_name

FILES: Mapping[str, str] = MappingProxyType(
    {"gfpgan": "gfpgan", "RestoreFormer": "restoreformer", "realesrgan": "realesrgan"}
)
"""Enhancer as requests spell it -> checkpoint."""

PACKAGES = ("torch", "torchvision", "spandrel")
"""spandrel reads the files; it is imported together with the two others."""


def available_enhancers(folder: Path) -> tuple[str, ...]:
    """Enhancers of faces and backgrounds whose file is in `folder`; none without the packages."""
    if any(find_spec(package) is None for package in PACKAGES):
        return ()
    return tuple(name for name in FILES if enhancer_file(folder, name).is_file())


def enhancer_file(folder: Path, name: str) -> Path:
    """Where the file of an enhancer is, or belongs."""
    return folder / by_name(FILES[name]).file
