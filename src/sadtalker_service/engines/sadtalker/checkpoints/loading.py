"""Load networks from checkpoint files. Every tensor must be present with the right shape, and no other.

The second release has safetensors files, which hold only tensors, and two pickles with the mapping networks.
From the pickles, only tensors are accepted.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.checkpoints.content import Shapes, difference
from sadtalker_service.engines.sadtalker.checkpoints.layout import is_old
from sadtalker_service.engines.sadtalker.networks.audio_to_expression import AudioToExpression
from sadtalker_service.engines.sadtalker.networks.audio_to_pose import TRAINING_ONLY, AudioToPose
from sadtalker_service.engines.sadtalker.networks.face_regression import FaceRegression
from sadtalker_service.engines.sadtalker.networks.fusing import frozen
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.networks.keypoint_detector import KeypointDetector
from sadtalker_service.engines.sadtalker.networks.mapping import Mapping as MappingNetwork
from sadtalker_service.errors import EngineUnavailable

Network = TypeVar("Network", bound=nn.Module)

_PREFIXES: Mapping[type[nn.Module], str] = {
    FaceRegression: "face_3drecon.",
    AudioToExpression: "audio2exp.",
    AudioToPose: "audio2pose.",
    KeypointDetector: "kp_extractor.",
    Generator: "generator.",
}
"""Network -> prefix of its tensor names in the flat file."""
_NAMED = re.compile(r"GLOBAL (\S+) ")
_UNREADABLE = (
    pickle.UnpicklingError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""Exceptions that `torch.load` raises for damaged or foreign bytes."""


class Unreadable(Exception):
    """A pickle that is damaged, truncated, or contains more than plain containers and tensors."""


@dataclass(frozen=True)
class Networks:
    """The networks of one safetensors file, in the trained form (see `networks.fusing.prepare`)."""

    face_regression: FaceRegression
    audio_to_expression: AudioToExpression
    audio_to_pose: AudioToPose
    keypoint_detector: KeypointDetector
    generator: Generator


def load_networks(path: Path) -> Networks:
    """The networks of `SadTalker_V0.0.2_{256,512}.safetensors`.

    Raises `EngineUnavailable`, naming the file and the fault.
    """
    refuse_old(path)
    try:
        with safe_open(path, framework="pt") as file:
            return _read_networks(_Prefixed(path, file.keys(), file.get_tensor))
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, str(error)) from error


def load_mapping(path: Path, coefficients: int) -> MappingNetwork:
    """The mapping network of `mapping_00229-model.pth.tar` (70 coefficients) or `mapping_00109` (73).

    Raises `EngineUnavailable`, naming the file and the fault.
    """
    refuse_old(path)
    try:
        content = read_pickle(path)
    except Unreadable as error:
        raise _unreadable(path, str(error)) from error
    tensors = content.get("mapping") if isinstance(content, dict) else None
    if not isinstance(tensors, dict):
        raise _unreadable(path, "it has no entry 'mapping'")
    return _filled(path, "mapping", lambda: MappingNetwork(coefficients), tensors)


def read_pickle(path: Path, *, mapped: bool = False) -> Any:
    """Read a `torch.save` file without running any code in it.

    `mapped`: memory-map the values of a zip archive. Raises `Unreadable` with the reason.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except _UNREADABLE as error:
        raise Unreadable(_reason(str(error)) or type(error).__name__) from error


def _reason(message: str) -> str:
    """The reason from a torch message. Some of these messages explain how to run the file's code anyway, so
    they are not passed on."""
    named = _NAMED.search(message)
    if named:
        return f"it names {named[1]}, which is not a plain tensor"
    if message.startswith("Weights only"):
        return "it holds something besides plain containers and tensors"
    return message.partition("\n")[0]


def networks_shapes() -> Shapes:
    """Tensors that `load_networks` needs, by their names in the file."""
    return {
        prefix + name: shape
        for make, prefix in _PREFIXES.items()
        for name, shape in _wanted(_empty(make)).items()
    }


def mapping_shapes(coefficients: int) -> Shapes:
    """Tensors that `load_mapping` needs."""
    return _wanted(_empty(lambda: MappingNetwork(coefficients)))


def refuse_old(path: Path) -> None:
    """Raise `EngineUnavailable` if the file name is from the first release."""
    if is_old(path):
        raise EngineUnavailable(
            f"{path} is a checkpoint of SadTalker's first release: a pickle, which can run code when it is "
            "opened, with other names inside. Only those of V0.0.2 are read "
            "(SadTalker_V0.0.2_256.safetensors). Get them with: sadtalker models download"
        )


class _Prefixed:
    """Tensors of a flat file, by network."""

    def __init__(self, path: Path, keys: Sequence[str], read: Callable[[str], Tensor]) -> None:
        self.path = path
        self._keys = keys
        self._read = read

    def network(self, make: type[Network], skipped: tuple[str, ...] = ()) -> Network:
        """One network of the file. Keys that start with one of `skipped` after the prefix are ignored."""
        prefix = _PREFIXES[make]
        names = [key.removeprefix(prefix) for key in self._keys if key.startswith(prefix)]
        tensors = {name: self._read(prefix + name) for name in names if not name.startswith(skipped)}
        return _filled(self.path, prefix, make, tensors)


def _read_networks(file: _Prefixed) -> Networks:
    return Networks(
        face_regression=file.network(FaceRegression),
        audio_to_expression=file.network(AudioToExpression),
        audio_to_pose=file.network(AudioToPose, TRAINING_ONLY),
        keypoint_detector=file.network(KeypointDetector),
        generator=file.network(Generator),
    )


def _empty(make: Callable[[], Network]) -> Network:
    """A network without values."""
    with torch.device("meta"):
        return make()


def _wanted(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _filled(path: Path, name: str, make: Callable[[], Network], tensors: Mapping[str, Tensor]) -> Network:
    """A network whose parameters are `tensors` themselves, without copies."""
    network = _empty(make)
    found = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    faults = difference(found, _wanted(network))
    if faults:
        raise EngineUnavailable(
            f"{path} is not a checkpoint of SadTalker V0.0.2: of {name.rstrip('.')} {faults}."
        )
    network.load_state_dict(tensors, strict=True, assign=True)
    return frozen(network)


def _unreadable(path: Path, why: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"The checkpoint {path} cannot be read: {why}. Get it again with: sadtalker models download"
    )
