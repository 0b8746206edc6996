"""Mapping: coefficients of the face model -> motion of the keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.head_pose import BINS, HeadMotion, degrees

WINDOW = 27
"""Frames that determine one frame's motion: thirteen before it, itself, and thirteen after it."""
CLOSE_UP, FULL = 70, 73
"""Coefficients per frame: 64 expression, 6 pose. In `full` mode also the crop's scale and shift (pixels)."""
KEYPOINTS = 15

_WIDTH = 1024
_LAYERS = 3
_DILATION = 3


@dataclass(frozen=True)
class MappingOutput:
    """T frames. The angles are logits of 66 bins."""

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    shift: Tensor
    """(T, 3)"""
    expression: Tensor
    """(T, 45)"""

    def motion(self) -> HeadMotion:
        """The motion with angles in degrees."""
        return HeadMotion(
            yaw=degrees(self.yaw),
            pitch=degrees(self.pitch),
            roll=degrees(self.roll),
            shift=self.shift,
            expression=self.expression.reshape(-1, KEYPOINTS, 3),
        )


class Mapping(nn.Module):
    """The file `mapping_00229` has 70 coefficients, `mapping_00109` (for `full`) has 73."""

    def __init__(self, coefficients: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(coefficients, _WIDTH, 7))
        for number in range(_LAYERS):
            layer = nn.Sequential(nn.LeakyReLU(0.1), nn.Conv1d(_WIDTH, _WIDTH, 3, dilation=_DILATION))
            self.add_module(f"encoder{number}", layer)
        self.fc_yaw = nn.Linear(_WIDTH, BINS)
        self.fc_pitch = nn.Linear(_WIDTH, BINS)
        self.fc_roll = nn.Linear(_WIDTH, BINS)
        self.fc_t = nn.Linear(_WIDTH, 3)
        self.fc_exp = nn.Linear(_WIDTH, 3 * KEYPOINTS)

    def forward(self, coefficients: Tensor) -> MappingOutput:
        """(C, T + 26) coefficients of a video, its ends repeated 13 times -> T frames.

        Every layer slides along time without padding. So one pass over a whole video gives the same results
        as each window of 27 frames separately, with a ninth of the work.
        """
        x = self.first(coefficients[None])
        for number in range(_LAYERS):
            x = self.get_submodule(f"encoder{number}")(x) + x[:, :, _DILATION:-_DILATION]
        x = F.avg_pool1d(x, 3, stride=1)[0].T
        return MappingOutput(self.fc_yaw(x), self.fc_pitch(x), self.fc_roll(x), self.fc_t(x), self.fc_exp(x))


def with_ends_repeated(coefficients: Tensor) -> Tensor:
    """(T, C) coefficients of a video -> (C, T + 26), the input of `Mapping`."""
    return F.pad(coefficients.T[None], (WINDOW // 2, WINDOW // 2), mode="replicate")[0]
