"""Load the files of enhancers with `spandrel`, which contains their networks."""

from __future__ import annotations

import pickle
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sadtalker_service.errors import EngineUnavailable
from sadtalker_service.extras import how_to_get


class Descriptor(Protocol):
    """The part of `spandrel.ImageModelDescriptor` used here."""

    model: nn.Module
    scale: int
    supports_half: bool
    supports_bfloat16: bool
    architecture: Any
    """Has an `id`."""

    def __call__(self, image: Tensor) -> Tensor:
        """(1, 3, h, w) in 0..1 -> (1, 3, scale h, scale w) in 0..1."""


def load_descriptor(path: Path, architecture: str, download: str) -> Descriptor:
    """A network with its weights, for evaluation, in float32 on the CPU.

    Args:
        path: a `torch.save` file. Only tensors are accepted in it.
        architecture: the required network, by spandrel's name.
        download: the name of the file for `sadtalker models download`.

    Raises `EngineUnavailable`, naming what is missing or wrong and what to do.
    """
    spandrel = _spandrel()
    again = f"Get it with: sadtalker models download {download}"
    if not path.is_file():
        raise EngineUnavailable(f"The checkpoint {path} is missing. {again}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise EngineUnavailable(
            f"The checkpoint {path} cannot be read: {_first_line(error)}. {again}"
        ) from error
    try:
        found: Descriptor = spandrel.ModelLoader("cpu").load_from_state_dict(content)
    except (spandrel.UnsupportedModelError, RuntimeError, LookupError, TypeError, ValueError) as error:
        why = _first_line(error) or "spandrel knows no network with such tensors"
        raise EngineUnavailable(f"The checkpoint {path} is not for {architecture}: {why}. {again}") from error
    if found.architecture.id != architecture:
        raise EngineUnavailable(
            f"The checkpoint {path} is for {found.architecture.id}, not for {architecture}. {again}"
        )
    found.model.eval().requires_grad_(requires_grad=False)
    return found


def _spandrel() -> ModuleType:
    try:
        return import_module("spandrel")
    except ModuleNotFoundError as error:
        raise EngineUnavailable(
            f"Enhancers need the package {error.name}. {how_to_get('enhance')}"
        ) from error
    # compiled parts for another build of torch raise these too
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineUnavailable(
            f"The package spandrel cannot be loaded: {_first_line(error)}. torch and torchvision must be"
            " builds that belong together: install both from the same index."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".:")
