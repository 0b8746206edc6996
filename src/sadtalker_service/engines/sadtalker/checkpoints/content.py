"""What a checkpoint file has to hold, by the names and shapes of its tensors, seen without torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open

from sadtalker_service.engines.sadtalker.checkpoints.torch_file import NotReadable, Tensor, read_torch_file

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""

_NAMED = 3
"""How many tensors a sentence names."""
_TRAINING_ONLY = ("audio2pose.netG.encoder.", "audio2pose.netD_motion.")
"""Tensors of the published file that are of use in training alone; they may be there or not."""


class Content(Protocol):
    """What a file has to hold."""

    def fault(self, path: Path) -> str | None:
        """What is wrong with the structure of a file that exists, in a few words; None: nothing."""
        ...


@dataclass(frozen=True)
class Flat:
    """A safetensors file with several networks, told apart by the first part of each name."""

    shapes: Callable[[], Shapes]

    def fault(self, path: Path) -> str | None:
        """Compare the file's header; unknown names count only within a network that is known."""
        try:
            with safe_open(path, framework="numpy") as file:
                found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            return f"it is cut short or no safetensors file ({error})"
        wanted = self.shapes()
        networks = {name.partition(".")[0] for name in wanted}
        ours = {
            name: shape
            for name, shape in found.items()
            if name.partition(".")[0] in networks and not name.startswith(_TRAINING_ONLY)
        }
        return difference(ours, wanted)


@dataclass(frozen=True)
class Pickled:
    """A file of `torch.save`: a dictionary with the network's tensors under one of the entries named.

    No entries: they may stand at the top. `shapes` None: any tensors will do.
    """

    entries: tuple[str, ...] = ()
    shapes: Callable[[], Shapes] | None = None

    def fault(self, path: Path) -> str | None:
        """Compare what the pickle says of its tensors."""
        try:
            content = read_torch_file(path)
        except NotReadable as error:
            return f"it is cut short or no checkpoint of PyTorch ({error})"
        tensors = self._tensors(content)
        if not tensors:
            wanted = " or ".join(repr(entry) for entry in self.entries)
            return f"it has no tensors{' under ' + wanted if wanted else ''}"
        wrong = difference(tensors, self.shapes()) if self.shapes else None
        return f"of its tensors {wrong}" if wrong else None

    def _tensors(self, content: Any) -> Shapes:
        if not isinstance(content, dict):
            return {}
        inside = next((content[entry] for entry in self.entries if entry in content), None)
        if inside is None and not self.entries:
            inside = content.get("state_dict", content)
        if not isinstance(inside, dict):
            return {}
        return {str(name): value.shape for name, value in inside.items() if isinstance(value, Tensor)}


def difference(found: Shapes, wanted: Shapes) -> str | None:
    """What is missing, unknown or of another shape, in a few words; None: nothing."""
    told = {
        "missing": [name for name in wanted if name not in found],
        "unknown": [name for name in found if name not in wanted],
        "of another shape": [
            f"{name} is {found[name]}, not {shape}"
            for name, shape in wanted.items()
            if name in found and found[name] != shape
        ],
    }
    return "; ".join(_told(what, names) for what, names in told.items() if names) or None


def _told(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} {what} ({', '.join(names[:_NAMED])}{more})"


def networks_shapes() -> Shapes:
    """Tensors that both safetensors files of V0.0.2 hold, less those for training."""
    return _published()["networks"]


def mapping_shapes(coefficients: int) -> Shapes:
    """Tensors of the mapping network for 70 coefficients per frame, or 73."""
    shapes = dict(_published()["mapping"])
    width, _, window = shapes["first.0.weight"]
    return {**shapes, "first.0.weight": (width, coefficients, window)}


@cache
def _published() -> dict[str, Shapes]:
    text = Path(__file__).with_name("tensors.json").read_text()
    return {
        part: {name: tuple(shape) for name, shape in shapes.items()}
        for part, shapes in json.loads(text).items()
    }
