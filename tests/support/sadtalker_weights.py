"""Synthetic weights and inputs for the SadTalker networks, and checkpoint files made of them.

Every tensor depends only on its official name. The outputs of the original networks were measured once with
the same weights (`tests/golden/sadtalker`), so they show whether ours compute the same. The scales of the
random values keep activations of every layer within a few units.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[1] / "golden" / "sadtalker"
NETWORKS = ("face_3drecon", "audio2exp", "audio2pose", "kp_extractor", "generator")
"""The networks of one safetensors file, by their prefix."""
MAPPING = {70: "mapping_00229", 73: "mapping_00109"}

Array = NDArray[Any]

_WIDTHS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "face_3drecon": (
        (r"bn3\.weight", 0.25),
        (r"downsample\.0\.weight", 0.7),
        (r"final_layers\..*", 0.2),
    ),
    "audio2exp": (
        (r"audio_encoder\.(1|2|4|5|7|8|10)\.conv_block\.0\.weight", 0.3),
        (r"audio_encoder\.\d+\.conv_block\.0\.weight", 0.8),
        (r"mapping1\.weight", 0.4),
    ),
    "audio2pose": (
        (r"audio_encoder\.(1|2|4|5|7|8|10)\.conv_block\.0\.weight", 0.3),
        (r"audio_encoder\.\d+\.conv_block\.0\.weight", 0.8),
        (r"conv_block\.5\.weight", 0.3),
        (r"conv_skip\.0\.weight", 0.6),
        (r"input_layer\.3\.weight", 0.7),
        (r"upsample_\d\.upsample\.weight", 0.7),
        (r"linear_audio\.weight", 0.5),
        (r"pose_linear\.weight", 0.4),
    ),
    "generator": (
        (r"resblocks_3d\..*\.conv2\.weight", 0.3),
        (r"dense_motion_network\.mask\.weight", 1.4),
        (r"dense_motion_network\.occlusion\.weight", 1.5),
        (r"fourth\.weight", 0.7),
        (r"mlp_(gamma|beta)\.weight", 0.5),
        (r"conv_img\.weight", 0.7),
    ),
    "mapping_00229": ((r"fc_exp\.weight", 0.05), (r"fc_t\.weight", 0.1)),
    "mapping_00109": ((r"fc_exp\.weight", 0.05), (r"fc_t\.weight", 0.1)),
}
"""Scale factors for some tensors. The first rule that matches the end of a name applies."""

_POWER_ROUNDS = 30


@dataclass(frozen=True)
class OfficialTensor:
    """Kind and shape of a tensor in the official checkpoint."""

    kind: str
    shape: tuple[int, ...]


@cache
def _official() -> dict[str, Any]:
    return dict(json.loads((GOLDEN / "official_tensors.json").read_text()))


def official_tensors(network: str) -> dict[str, OfficialTensor]:
    """Name, without the network's prefix -> kind and shape."""
    tensors = _official()[network]["tensors"]
    return {name: OfficialTensor(kind, tuple(shape)) for name, (kind, *shape) in tensors.items()}


def official_shapes(*networks: str) -> dict[str, tuple[int, ...]]:
    """Name -> shape of a network's tensors. For several networks, names have prefixes as in the safetensors
    files."""
    return {
        f"{network}.{name}" if len(networks) > 1 else name: tensor.shape
        for network in networks
        for name, tensor in official_tensors(network).items()
    }


def fingerprint(network: str) -> tuple[int, float, float]:
    """Expected count, sum and sum of squares of the synthetic weights of a network."""
    count, total, squares = _official()[network]["fingerprint"]
    return count, total, squares


def weights(network: str) -> dict[str, Array]:
    """Every tensor of a network, by its name without prefix."""
    tensors = official_tensors(network)
    with ThreadPoolExecutor(2) as pool:
        names = [name for name, tensor in tensors.items() if not tensor.kind.startswith("sn_")]
        found = dict(zip(names, pool.map(lambda n: _tensor(network, n, tensors[n]), names), strict=True))
        largest = [name.removesuffix("_u") for name, tensor in tensors.items() if tensor.kind == "sn_u"]
        for name, (u, v) in zip(
            largest, pool.map(lambda n: _singular(network, n, found[f"{n}_orig"]), largest), strict=True
        ):
            found[f"{name}_u"], found[f"{name}_v"] = u, v
    return {name: found[name] for name in tensors}


def _draws(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))  # its stream is stable across releases


def _tensor(network: str, name: str, tensor: OfficialTensor) -> Array:
    draws, shape = _draws(f"{network}.{name}"), tensor.shape
    rules = _WIDTHS.get(network, ())
    wider = next((width for rule, width in rules if re.search(rf"(^|\.){rule}$", name)), 1.0)
    match tensor.kind:
        case "weight":
            values = draws.standard_normal(shape) * (np.sqrt(2 / np.prod(shape[1:])) * wider)
        case "tweight":  # a transposed convolution whose stride is its size, so every output reads one cell
            values = draws.standard_normal(shape) * (np.sqrt(2 / shape[0]) * wider)
        case "norm_weight":
            values = draws.uniform(0.5, 1.5, shape) * wider
        case "bias":
            values = draws.standard_normal(shape) * 0.05
        case "running_mean":
            values = draws.standard_normal(shape) * 0.1
        case "running_var":
            values = draws.uniform(0.5, 1.5, shape)
        case "table":
            values = draws.standard_normal(shape)
        case "counter":
            return np.zeros(shape, np.int64)
        case "structural":
            return _smoothing(shape)
        case kind:
            raise ValueError(f"{name} has an unknown kind {kind}.")
    return np.asarray(values).astype(np.float32)


def _smoothing(shape: tuple[int, ...]) -> Array:
    """The Gaussian of the keypoint detector, as its constructor computes it: sigma 1.5, sum one."""
    away = np.arange(shape[-1]) - (shape[-1] - 1) / 2
    along = np.exp(-(away**2) / (2 * 1.5**2))
    kernel = np.outer(along, along)
    return np.stack([kernel / kernel.sum()] * shape[0])[:, None].astype(np.float32)


def _singular(network: str, name: str, weight: Array) -> tuple[Array, Array]:
    """Left and right vector of the largest singular value, by rounds of the power method.

    A round is u <- W W' u. The product is computed once.
    """
    matrix = weight.astype(np.float64).reshape(len(weight), -1)
    square = matrix @ matrix.T
    u = _unit(_draws(f"{network}.{name}_u").standard_normal(len(matrix)))
    for _ in range(_POWER_ROUNDS - 1):
        u = _unit(square @ u)
    v = _unit(matrix.T @ u)
    return _unit(matrix @ v).astype(np.float32), v.astype(np.float32)


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


def write_networks(path: Path) -> None:
    """Write a file like `SadTalker_V0.0.2_256.safetensors`."""
    from safetensors.numpy import save_file

    save_file({f"{name}.{key}": value for name in NETWORKS for key, value in weights(name).items()}, path)


def write_mapping(path: Path, coefficients: int) -> None:
    """Write a file like `mapping_00229-model.pth.tar` (70 coefficients) or `mapping_00109` (73)."""
    import torch

    tensors = weights(MAPPING[coefficients])
    torch.save({"mapping": {name: torch.from_numpy(value) for name, value in tensors.items()}}, path)


def picture(size: int, phase: float = 0.0) -> NDArray[np.float32]:
    """(3, size, size), 0.05..0.95: slow waves, fast waves and a chequered pattern with sharp edges."""
    steps = (np.arange(size) + 0.5) / size
    u, v, channel = steps[None, None, :], steps[None, :, None], np.arange(3.0)[:, None, None]
    turn = 2 * np.pi
    slow = np.sin(turn * (1.5 * u + 0.7 * v) + 1.1 * channel + phase)
    cross = np.cos(turn * (0.6 * u - 2.3 * v) - 0.8 * channel + 0.5 * phase)
    fast = np.sin(turn * (9.0 * u + 5.0 * v) + 2.0 * channel)
    squares = 1.0 - 2.0 * np.mod(np.floor(16 * u) + np.floor(12 * v) + channel, 2.0)
    mixed = 0.40 * slow + 0.30 * cross + 0.12 * fast + 0.18 * squares
    return (0.5 + 0.45 * mixed).astype(np.float32)


def noise(name: str, shape: tuple[int, ...], scale: float = 1.0, offset: float = 0.0) -> NDArray[np.float32]:
    """Normal random values that depend only on the name."""
    return (_draws(name).standard_normal(shape) * scale + offset).astype(np.float32)
