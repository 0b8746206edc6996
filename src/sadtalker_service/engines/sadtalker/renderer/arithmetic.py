"""How exactly a GPU computes in float32."""

from __future__ import annotations

import torch


def use_full_float32() -> None:
    """Let convolutions in float32 be computed in float32, in this whole process.

    By default torch lets a GPU round what goes into them to ten bits (TF32). Here float32 is used where it is
    wanted exactly: for keypoints and coefficients, once per avatar or video.
    """
    torch.backends.cudnn.allow_tf32 = False
