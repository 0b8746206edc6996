"""Reads networks from checkpoint files: every tensor has to be there, with its shape, and none besides.

The files of the second release are safetensors, which hold nothing but tensors, and two pickles with the
mapping networks, of which only tensors are accepted.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.checkpoints.content import difference
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


@dataclass(frozen=True)
class Networks:
    """What one safetensors file holds, in the trained form (see `networks.inference.prepare`)."""

    face_regression: FaceRegression
    audio_to_expression: AudioToExpression
    audio_to_pose: AudioToPose
    keypoint_detector: KeypointDetector
    generator: Generator


def load_networks(path: Path) -> Networks:
    """The networks of `SadTalker_V0.0.2_{256,512}.safetensors`.

    Raises `EngineUnavailable` with the file and what is wrong with it.
    """
    refuse_old(path)
    try:
        with safe_open(path, framework="pt") as file:
            return _read_networks(_Prefixed(path, file.keys(), file.get_tensor))
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, str(error)) from error


def load_mapping(path: Path, coefficients: int) -> MappingNetwork:
    """The mapping network of `mapping_00229-model.pth.tar` (70 coefficients) or `mapping_00109` (73).

    Raises `EngineUnavailable` with the file and what is wrong with it.
    """
    refuse_old(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise _unreadable(path, f"{error}".partition("\n")[0]) from error
    tensors = content.get("mapping") if isinstance(content, dict) else None
    if not isinstance(tensors, dict):
        raise _unreadable(path, "it has no entry 'mapping'")
    return _filled(path, "mapping", lambda: MappingNetwork(coefficients), tensors)


def refuse_old(path: Path) -> None:
    """Raise `EngineUnavailable` for a file of the first release, by its name."""
    if is_old(path):
        raise EngineUnavailable(
            f"{path} is a checkpoint of SadTalker's first release: a pickle, which can run code when it is "
            "opened, with other names inside. Only those of V0.0.2 are read "
            "(SadTalker_V0.0.2_256.safetensors); get them with: sadtalker models download"
        )


class _Prefixed:
    """Tensors of a flat file, network by network."""

    def __init__(self, path: Path, keys: Sequence[str], read: Callable[[str], Tensor]) -> None:
        self.path = path
        self._keys = keys
        self._read = read

    def network(self, prefix: str, make: Callable[[], Network], skipped: tuple[str, ...] = ()) -> Network:
        """The network of one prefix; keys that begin with one of `skipped` are left in the file."""
        names = [key.removeprefix(prefix) for key in self._keys if key.startswith(prefix)]
        tensors = {name: self._read(prefix + name) for name in names if not name.startswith(skipped)}
        return _filled(self.path, prefix, make, tensors)


def _read_networks(file: _Prefixed) -> Networks:
    return Networks(
        face_regression=file.network("face_3drecon.", FaceRegression),
        audio_to_expression=file.network("audio2exp.", AudioToExpression),
        audio_to_pose=file.network("audio2pose.", AudioToPose, TRAINING_ONLY),
        keypoint_detector=file.network("kp_extractor.", KeypointDetector),
        generator=file.network("generator.", Generator),
    )


def _filled(path: Path, name: str, make: Callable[[], Network], tensors: Mapping[str, Tensor]) -> Network:
    """A network whose parameters are `tensors` themselves, none of them copied."""
    with torch.device("meta"):
        network = make()
    wanted = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    wrong = difference({key: tuple(tensor.shape) for key, tensor in tensors.items()}, wanted)
    if wrong:
        raise EngineUnavailable(
            f"{path} is not a checkpoint of SadTalker V0.0.2: of {name.rstrip('.')} {wrong}."
        )
    network.load_state_dict(tensors, strict=True, assign=True)
    return frozen(network)


def _unreadable(path: Path, why: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"The checkpoint {path} cannot be read: {why}. Get it again with: sadtalker models download"
    )
