"""The required contents of a checkpoint file, by the names and shapes of its tensors.

If torch is installed, the networks define the tensors they need, and torch reads a pickle without running
anything in it. Without torch, a wrong file type or a truncated file is still detected. The rest is left to
its size and SHA-256.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open

Shapes = Mapping[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""

_NAMED = 3
"""How many tensor names a message lists."""
_TRAINING_ONLY = ("audio2pose.netG.encoder.", "audio2pose.netD_motion.")
"""Tensors of the published file that are only used in training. They may be missing."""
_OLD_FORMAT = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""First bytes of a `torch.save` file that is not a zip archive."""


class Content(Protocol):
    """The required contents of a file."""

    def fault(self, path: Path, *, deep: bool = True) -> str | None:
        """What is wrong with the structure of an existing file, in a few words, or None.

        Unless `deep`, checks only the file type and the end of the file. This needs no torch and takes no
        time.
        """
        ...


@dataclass(frozen=True)
class Flat:
    """A safetensors file with several networks, distinguished by the first part of each tensor name."""

    shapes: Callable[[], Shapes | None]
    """None if unknown because torch is missing."""

    def fault(self, path: Path, *, deep: bool = True) -> str | None:
        """Compare the file's header. Unknown tensor names count only within a known network."""
        try:
            with safe_open(path, framework="numpy") as file:
                found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            return f"it is cut short or not a safetensors file ({error})"
        wanted = self.shapes() if deep else None
        if wanted is None:
            return None
        networks = {name.partition(".")[0] for name in wanted}
        ours = {
            name: shape
            for name, shape in found.items()
            if name.partition(".")[0] in networks and not name.startswith(_TRAINING_ONLY)
        }
        return _differing(ours, wanted)


@dataclass(frozen=True)
class Pickled:
    """A `torch.save` file: a dictionary with the network's tensors under one of the named entries.

    Without entries, the tensors may also be at the top level. If `shapes` is None, any tensors are accepted.
    """

    entries: tuple[str, ...] = ()
    shapes: Callable[[], Shapes | None] | None = None

    def fault(self, path: Path, *, deep: bool = True) -> str | None:
        """Compare the tensors that torch reads."""
        if not _is_torch_file(path):
            return "it is cut short or not a PyTorch checkpoint"
        loading = _loading() if deep else None
        if loading is None:
            return None
        try:
            content = loading.read_pickle(path, mapped=zipfile.is_zipfile(path))
        except loading.Unreadable as error:
            return f"it is cut short or not a PyTorch checkpoint ({error})"
        tensors = self._tensors(content)
        if not tensors:
            wanted = " or ".join(repr(entry) for entry in self.entries)
            return f"it has no tensors{' under ' + wanted if wanted else ''}"
        shapes = self.shapes() if self.shapes else None
        return _differing(tensors, shapes) if shapes else None

    def _tensors(self, content: Any) -> Shapes:
        if not isinstance(content, dict):
            return {}
        inside = next((content[entry] for entry in self.entries if entry in content), None)
        if inside is None and not self.entries:
            inside = content.get("state_dict", content)
        if not isinstance(inside, dict):
            return {}
        return {str(name): tuple(value.shape) for name, value in inside.items() if hasattr(value, "shape")}


def difference(found: Shapes, wanted: Shapes) -> str | None:
    """Which tensors are missing, unknown or of another shape, in a few words. None if they agree."""
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


def networks_shapes() -> Shapes | None:
    """Tensors of both V0.0.2 safetensors files, without those for training only. None without torch."""
    loading = _loading()
    return loading.networks_shapes() if loading else None


def mapping_shapes(coefficients: int) -> Shapes | None:
    """Tensors of the mapping network for 70 or 73 coefficients per frame. None without torch."""
    loading = _loading()
    return loading.mapping_shapes(coefficients) if loading else None


def _differing(found: Shapes, wanted: Shapes) -> str | None:
    differences = difference(found, wanted)
    return f"of its tensors {differences}" if differences else None


def _is_torch_file(path: Path) -> bool:
    with path.open("rb") as file:
        begins = file.read(len(_OLD_FORMAT))
    return begins == _OLD_FORMAT or zipfile.is_zipfile(path)


def _loading() -> ModuleType | None:
    """The module that reads networks with torch, or None if torch is not installed."""
    try:
        from sadtalker_service.engines.sadtalker.checkpoints import loading  # noqa: PLC0415
    except (ImportError, OSError):
        return None
    return loading
