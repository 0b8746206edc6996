"""From the mapping network's output to keypoints in the image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 66
_DEGREES_PER_BIN, _FIRST_BIN = 3.0, -99.0
_PI = 3.14
"""Value of pi used in training to convert angles to radians."""


@dataclass(frozen=True)
class HeadMotion:
    """The motion of the canonical keypoints. T frames, float32."""

    yaw: Tensor
    """(T,) degrees; so are pitch and roll."""
    pitch: Tensor
    roll: Tensor
    shift: Tensor
    """(T, 3). Only the second value, up and down, is used."""
    expression: Tensor
    """(T, 15, 3) shift of each keypoint."""

    def place(self, canonical: Tensor) -> Tensor:
        """(1 or T, 15, 3) canonical keypoints -> (T, 15, 3), rotated, shifted and deformed; x y z, -1..1."""
        turned = canonical @ rotation(self.yaw, self.pitch, self.roll).mT
        up = torch.stack([torch.zeros_like(self.yaw), self.shift[:, 1], torch.zeros_like(self.yaw)], 1)
        return turned + up[:, None] + self.expression


def degrees(logits: Tensor) -> Tensor:
    """(T, 66) logits of bins of 3 degrees -> (T,) mean angle in degrees, -99..96."""
    bins = torch.arange(BINS, dtype=torch.float32, device=logits.device)
    return (logits.softmax(1) * bins).sum(1) * _DEGREES_PER_BIN + _FIRST_BIN


def rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """(T,) degrees each -> (T, 3, 3): roll about z first, then yaw about y, then pitch about x."""
    return _about(0, pitch) @ _about(1, yaw) @ _about(2, roll)


def _about(axis: int, angle: Tensor) -> Tensor:
    """Right-handed rotation about one axis, (T, 3, 3)."""
    radians = angle / 180.0 * _PI
    cosine, sine = radians.cos(), radians.sin()
    matrix = torch.zeros(len(angle), 3, 3, dtype=angle.dtype, device=angle.device)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1.0
    matrix[:, i, i] = matrix[:, j, j] = cosine
    matrix[:, i, j], matrix[:, j, i] = -sine, sine
    return matrix
