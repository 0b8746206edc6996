"""The float32 precision of a GPU."""

from __future__ import annotations

import torch


def use_full_float32() -> None:
    """Compute float32 convolutions in full float32, in this whole process.

    By default torch lets a GPU round their inputs to ten bits (TF32). Here float32 is used only where its
    precision is needed: for keypoints and coefficients, once per avatar or video.
    """
    torch.backends.cudnn.allow_tf32 = False
