"""Networks with random weights, and inputs for them."""

from __future__ import annotations

import torch
from torch import Tensor

from sadtalker_service.bench.sadtalker.report import Work
from sadtalker_service.bench.sadtalker.timing import Run
from sadtalker_service.engines.sadtalker.multiply_adds import multiply_adds
from sadtalker_service.engines.sadtalker.networks.fusing import Network
from sadtalker_service.engines.sadtalker.networks.generator import Generator
from sadtalker_service.engines.sadtalker.networks.keypoint_detector import KeypointDetector
from sadtalker_service.engines.sadtalker.networks.mapping import KEYPOINTS
from sadtalker_service.engines.sadtalker.networks.spade import SpectralConv2d
from sadtalker_service.engines.sadtalker.renderer.arithmetic import use_full_float32
from sadtalker_service.engines.sadtalker.renderer.gpu.choosing import candidates, choose_steps
from sadtalker_service.engines.sadtalker.renderer.host_memory import keep_freed_memory
from sadtalker_service.engines.sadtalker.renderer.renderer import FaceRenderer

TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
"""By name, in the order in which they are measured."""
_POWER_ROUNDS = 8
_CHOOSING_SIZE, _CHOOSING_BATCH = 256, 4
_MATRIX = {"cuda": 8192, "cpu": 2048}


def prepare_arithmetic(device: torch.device) -> None:
    """Settings of this process, as in the engine."""
    if device.type == "cpu":
        keep_freed_memory()
    else:
        use_full_float32()


def renderer(device: torch.device, precision: str) -> FaceRenderer:
    """A renderer in the form that the engine uses on this device."""
    found = FaceRenderer(drawn(Generator()).to(device), drawn(KeypointDetector()).to(device))
    on_gpu = device.type == "cuda"
    found.run_frames_in(TYPES[precision], channels_last=on_gpu)
    if not on_gpu and precision == "float32":
        found.run_frames_on_tiles()
    if found.on_gpu is not None:
        pictures, source, driving = inputs(device, _CHOOSING_SIZE, _CHOOSING_BATCH)
        scene = found.scene(found.encode_source(pictures).volume, source)
        choose_steps(found.on_gpu, scene.sources(len(driving)), driving, candidates(device))
    return found


def drawn(network: Network) -> Network:
    """`network` with random weights that keep its maps within a few units. Always the same weights."""
    generator = torch.Generator().manual_seed(0)
    for name, values in network.state_dict().items():
        if not values.is_floating_point() or "running" in name:
            continue
        wide = (2 / max(1, values[0].numel())) ** 0.5 if values.dim() > 1 else 0.05
        middle = 1.0 if values.dim() == 1 and "norm" in name and name.endswith("weight") else 0.0
        values.copy_(torch.randn(values.shape, generator=generator) * wide + middle)
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            _settle(module)
    return network


def _settle(conv: SpectralConv2d) -> None:
    """Move its two vectors close to those of the largest singular value, as training does."""
    matrix = conv.weight_orig.flatten(1)
    for _ in range(_POWER_ROUNDS):
        conv.weight_v.copy_(torch.nn.functional.normalize(matrix.T @ conv.weight_u, dim=0))
        conv.weight_u.copy_(torch.nn.functional.normalize(matrix @ conv.weight_v, dim=0))


def inputs(device: torch.device, size: int, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """An image (1, 3, size, size), its keypoints (1, 15, 3) and those of the frames (frames, 15, 3).

    A frame is the same in every number of frames. Each is drawn on its own for that: the first numbers of a
    longer `torch.randn` are not those of a shorter one.
    """
    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(1, 3, size, size, generator=generator)
    source = torch.randn(1, KEYPOINTS, 3, generator=generator) * 0.35
    moved = [torch.randn(1, KEYPOINTS, 3, generator=generator) * 0.06 for _ in range(frames)]
    driving = source + torch.cat(moved)
    return pictures.to(device), source.to(device), driving.to(device)


def square_matrix(device: torch.device, precision: str) -> Tensor:
    """A matrix so large that its product with itself shows how fast the device can multiply."""
    side = _MATRIX[device.type]
    return torch.randn(side, side, device=device).to(TYPES[precision])


def product(matrix: Tensor) -> Tensor:
    """`matrix` times itself."""
    return matrix @ matrix


def work(size: int) -> Work:
    """Multiply-adds of a frame, counted without computing them."""
    with torch.device("meta"):
        generator, empty = Generator(), FaceRenderer(Generator(), KeypointDetector())
        pictures, points = torch.empty(1, 3, size, size), torch.empty(1, KEYPOINTS, 3)
    scene = empty.scene(empty.encode_source(pictures).volume, points)

    def reduced() -> float:
        return _counted(lambda: empty.render(scene, points))

    plain = reduced()
    empty.run_frames_on_tiles()
    return Work(_counted(lambda: generator(pictures, points, points)), plain, reduced())


def _counted(run: Run) -> float:
    return multiply_adds(run)["Global"] / 1e9
