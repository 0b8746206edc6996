"""Enhancers are available if their file and their packages exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from sadtalker_service.engines.sadtalker.enhancing import available
from sadtalker_service.engines.sadtalker.enhancing.available import available_enhancers

HERE = ("json", "pathlib")
"""Packages that are installed everywhere."""


def test_enhancers_are_available_if_their_file_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(available, "PACKAGES", HERE)
    assert available_enhancers(tmp_path) == ()
    (tmp_path / "RealESRGAN_x2plus.pth").touch()
    (tmp_path / "GFPGANv1.3.pth").touch()  # another release of the file
    assert available_enhancers(tmp_path) == ("realesrgan",)
    (tmp_path / "GFPGANv1.4.pth").touch()
    (tmp_path / "RestoreFormer.pth").mkdir()
    assert available_enhancers(tmp_path) == ("gfpgan", "realesrgan")


def test_without_a_package_no_enhancer_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "GFPGANv1.4.pth").touch()
    monkeypatch.setattr(available, "PACKAGES", (*HERE, "a_package_that_nobody_has"))
    assert available_enhancers(tmp_path) == ()


def test_spandrel_and_its_imports_are_required() -> None:
    assert set(available.PACKAGES) == {"torch", "torchvision", "spandrel"}
