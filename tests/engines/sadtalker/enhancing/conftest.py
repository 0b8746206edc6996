"""A small stand-in for spandrel, for machines that do not have it or cannot load it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

STAND_IN = '''
"""Knows three networks by the name of their only tensor."""
from types import SimpleNamespace

from torch import nn


class UnsupportedModelError(Exception):
    pass


class Shift(nn.Module):
    """Adds its only number. Records its calls."""

    def __init__(self, tensor):
        super().__init__()
        self.by = nn.Parameter(tensor)
        self.calls = []

    def forward(self, pictures, **options):
        self.calls.append((str(pictures.dtype), options))
        return pictures + self.by, None


class Descriptor(SimpleNamespace):
    def __call__(self, pictures):
        return pictures.repeat_interleave(2, 2).repeat_interleave(2, 3) + self.model.by


class ModelLoader:
    loads = 0

    def __init__(self, device):
        assert device == "cpu"

    def load_from_state_dict(self, tensors):
        ModelLoader.loads += 1
        for name in ("GFPGAN", "RestoreFormer", "ESRGAN"):
            if name in tensors:
                return Descriptor(
                    model=Shift(tensors[name]),
                    scale=2,
                    supports_half=name == "ESRGAN",
                    supports_bfloat16=True,
                    architecture=SimpleNamespace(id=name),
                )
        raise UnsupportedModelError
'''


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `spandrel` and `torchvision` importable."""
    put_package(tmp_path / "packages", monkeypatch, "spandrel", STAND_IN)
    put_package(tmp_path / "packages", monkeypatch, "torchvision", "")


def put_package(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """Install a package of this name, ahead of any other, until the test ends."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text)
    # set a value first, so that monkeypatch also removes what the test imports if nothing was there before
    monkeypatch.setitem(sys.modules, name, sys)
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(folder)
