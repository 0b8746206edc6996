"""The trained form of the face renderer: source image, source and driving keypoints -> frame."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.blocks import ConvNorm2d, ResidualBlock3d
from sadtalker_service.engines.sadtalker.networks.dense_motion import DEPTH, DenseMotion, sample
from sadtalker_service.engines.sadtalker.networks.spade import CONDITION, SpadeDecoder

VOLUME_CHANNELS = 32
_BLOCKS_3D = 6


class Generator(nn.Module):
    """Checkpoint prefix `generator.` Images are (B, 3, H, W), H and W multiples of 128."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ConvNorm2d(3, 64)
        widths = (64, 128, 256)
        down = [ConvNorm2d(a, b, halve=True) for a, b in pairwise(widths)]
        self.down_blocks = nn.ModuleList(down)
        self.second = nn.Conv2d(256, VOLUME_CHANNELS * DEPTH, 1)
        blocks = {f"3dr{number}": ResidualBlock3d(VOLUME_CHANNELS) for number in range(_BLOCKS_3D)}
        self.resblocks_3d = nn.Sequential(OrderedDict(blocks))
        self.dense_motion_network = DenseMotion()
        self.third = ConvNorm2d(VOLUME_CHANNELS * DEPTH, CONDITION, slope=0.01)
        self.fourth = nn.Conv2d(CONDITION, CONDITION, 1)
        self.decoder = SpadeDecoder()

    def features(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) RGB, 0..1 -> (B, 32, 16, H/4, W/4): the face as a volume, the same for every frame."""
        x = self.first(pictures)
        for block in self.down_blocks:
            x = block(x)
        return self.resblocks_3d(self.second(x).unflatten(1, (VOLUME_CHANNELS, DEPTH)))

    def forward(self, pictures: Tensor, source: Tensor, driving: Tensor) -> Tensor:
        """Source images, (B, 15, 3) keypoints of the source and of the frames -> frames, 0..1."""
        volume = self.features(pictures)
        motion = self.dense_motion_network(volume, source, driving)
        warped = sample(volume, motion.grid).flatten(1, 2)
        return self.decoder(self.fourth(self.third(warped)) * motion.occlusion)
