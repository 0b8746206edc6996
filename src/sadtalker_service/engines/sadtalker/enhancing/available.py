"""Which enhancers can run here. Determined without loading anything."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from sadtalker_service.engines.sadtalker.checkpoints.table import by_name

FILES: Mapping[str, str] = MappingProxyType(
    {"gfpgan": "gfpgan", "RestoreFormer": "restoreformer", "realesrgan": "realesrgan"}
)
"""Enhancer name in requests -> checkpoint name."""

PACKAGES = ("torch", "torchvision", "spandrel")
"""spandrel reads the files. It is imported together with the two others."""


def available_enhancers(folder: Path) -> tuple[str, ...]:
    """Face and background enhancers whose file is in `folder`. Empty without the packages."""
    if any(find_spec(package) is None for package in PACKAGES):
        return ()
    return tuple(name for name in FILES if enhancer_file(folder, name).is_file())


def enhancer_file(folder: Path, name: str) -> Path:
    """Path of an enhancer's file, whether it exists or not."""
    return folder / by_name(FILES[name]).file
