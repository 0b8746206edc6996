"""Audio to expression: mouth movement, frame by frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.audio_encoder import FEATURES, AudioEncoder

EXPRESSIONS = 64


class AudioToExpression(nn.Module):
    """Checkpoint prefix `audio2exp.` Frames are independent of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = AudioEncoder()
        self.mapping1 = nn.Linear(FEATURES + EXPRESSIONS + 1, EXPRESSIONS)

    def forward(self, windows: Tensor, reference: Tensor, blink: Tensor) -> Tensor:
        """Expression coefficients (T, 64). They replace the reference and are not added to it.

        windows: (T, 1, 80, 16) mel windows. reference: (T, 64), the source's expression in every frame, or
        that of a reference video. blink: (T, 1), eye closure, 0..1.
        """
        return self.mapping1(torch.cat([self.audio_encoder(windows), reference, blink], 1))
