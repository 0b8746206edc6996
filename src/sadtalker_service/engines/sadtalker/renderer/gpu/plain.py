"""The passes in plain torch: the reference for the kernels, and what runs where they cannot."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sadtalker_service.engines.sadtalker.networks.dense_motion import NEGLIGIBLE, sample
from sadtalker_service.engines.sadtalker.renderer.gpu.steps import (
    COLOURS,
    EPSILON,
    Moments,
    Sources,
    places,
)
from sadtalker_service.engines.sadtalker.renderer.motion import blobs, deformed, shifted

_TAPS = 7
"""Size of the convolutions behind `deformation` and `visible`."""


class PlainSteps:
    """Implements `steps.Steps`."""

    def hints(self, sources: Sources, driving: Tensor, like: Tensor) -> Tensor:
        """See `Steps`."""
        moves = _moves(sources, driving)
        compressed = sources.compressed[sources.owners].permute(0, 4, 1, 2, 3)
        size = compressed.shape[2:]
        heat = blobs(driving, size) - blobs(sources.keypoints[sources.owners], size)
        heat = F.pad(heat, (0, 0, 0, 0, 0, 0, 1, 0))[:, :, None]
        found = torch.cat([heat, shifted(compressed, moves)], 2).flatten(1, 2)
        return found.permute(0, 2, 3, 4, 1).to(like.dtype).contiguous()

    def pooled(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Steps`."""
        wide = F.relu_(x.float() + bias)
        return wide.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5)).to(x.dtype)

    def doubled(self, x: Tensor, bias: Tensor, beside: Tensor) -> Tensor:
        """See `Steps`."""
        wide = _placed(x.flatten(0, 1).float(), 2, len(bias))
        return torch.cat([F.relu_(wide + bias).to(x.dtype).unflatten(0, x.shape[:2]), beside], 4)

    def activated(self, x: Tensor, bias: Tensor, slope: float) -> Tensor:
        """See `Steps`."""
        return F.leaky_relu_(x.float() + bias, slope).to(x.dtype)

    def deformation(self, x: Tensor, bias: Tensor, sources: Sources, driving: Tensor) -> Tensor:
        """See `Steps`."""
        depth, reach = x.shape[1], _TAPS // 2
        products = F.pad(x.float().unflatten(4, (_TAPS, -1)), (0, 0, 0, 0, 0, 0, 0, 0, reach, reach))
        logits = bias + sum(products[:, t : t + depth, :, :, t] for t in range(_TAPS))
        share = F.threshold(logits.softmax(4), NEGLIGIBLE, 0.0).permute(0, 4, 1, 2, 3)
        return deformed(share, _moves(sources, driving)).contiguous()

    def warped(self, sources: Sources, grid: Tensor, like: Tensor) -> Tensor:
        """See `Steps`."""
        volume = sources.volume[sources.owners].float().permute(0, 4, 1, 2, 3)
        moved = sample(volume, grid).permute(0, 3, 4, 2, 1)
        return moved.flatten(3).to(like.dtype).contiguous()

    def visible(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Steps`."""
        batch, height, width, _ = x.shape
        products = x[..., : _TAPS**2].float().permute(0, 3, 1, 2).flatten(2)
        found = F.fold(products, (height, width), _TAPS, padding=_TAPS // 2)
        return torch.sigmoid(found + bias).view(batch, height, width)

    def masked(self, x: Tensor, bias: Tensor, share: Tensor) -> Tensor:
        """See `Steps`."""
        return ((x.float() + bias) * share[..., None]).to(x.dtype)

    def split(self, x: Tensor, bias: Tensor, parts: int) -> Tensor:
        """See `Steps`."""
        return _split(F.relu_(x.float() + bias), parts, x.dtype)

    def spread(self, x: Tensor, bias: Tensor, parts: int, times: int) -> Tensor:
        """See `Steps`."""
        return _split(F.relu_(_placed(x.float(), times, len(bias)) + bias), parts, x.dtype)

    def added(self, x: Tensor, bias: Tensor, beside: Tensor | None = None) -> tuple[Tensor, Moments]:
        """See `Steps`."""
        wide = x.float() + bias
        found = (wide if beside is None else wide + beside.float()).to(x.dtype)
        return found, self.moments(found)

    def joined(
        self, x: Tensor, bias: Tensor, beside: Tensor, shift: Tensor, slope: float | None
    ) -> tuple[Tensor, Moments]:
        """See `Steps`."""
        wide = x.float() + bias + beside.float() + shift[..., -x.shape[3] :].float()
        found = (wide if slope is None else F.leaky_relu_(wide, slope)).to(x.dtype)
        return found, self.moments(found)

    def moments(self, x: Tensor) -> Moments:
        """See `Steps`. The values are (2, B, 1, 1, C): mean, and one by the deviation."""
        variance, mean = torch.var_mean(x.float(), (1, 2), correction=0, keepdim=True)
        return Moments(torch.stack([mean, torch.rsqrt(variance + EPSILON)]))

    def modulated(
        self, x: Tensor, moments: Moments, modulation: Tensor, bias: Tensor, slope: float, times: int = 1
    ) -> Tensor:
        """See `Steps`."""
        scale, shift = (modulation.float() + bias).chunk(2, 3)
        wide = torch.addcmul(shift, _normalised(x, moments, times), scale)
        return F.leaky_relu_(wide, slope).to(x.dtype)

    def scaled(self, x: Tensor, moments: Moments, modulation: Tensor, bias: Tensor, times: int = 1) -> Tensor:
        """See `Steps`."""
        scale = modulation[..., : x.shape[3]].float() + bias
        return (_normalised(x, moments, times) * scale).to(x.dtype)

    def colours(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Steps`."""
        return torch.sigmoid(x[..., :COLOURS].float() + bias).permute(0, 3, 1, 2).contiguous()

    def pixels(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Steps`."""
        wide = torch.sigmoid(x[..., :COLOURS].float() + bias) * 255
        return wide.round_().clamp_(0, 255).to(torch.uint8)


def _moves(sources: Sources, driving: Tensor) -> Tensor:
    """(B, S, 3): how far each slot moves. Slot 0 does not."""
    return F.pad(sources.keypoints[sources.owners] - driving, (0, 0, 1, 0))


def _normalised(x: Tensor, moments: Moments, times: int) -> Tensor:
    mean, scale = moments.values
    wide = (x.float() - mean) * scale
    return wide.repeat_interleave(times, 1).repeat_interleave(times, 2) if times > 1 else wide


def _split(wide: Tensor, parts: int, dtype: torch.dtype) -> Tensor:
    return wide.to(dtype).unflatten(3, (parts, -1)).permute(3, 0, 1, 2, 4).contiguous()


def _placed(x: Tensor, times: int, features: int) -> Tensor:
    """(B, h + 1, w + 1, places² F) -> (B, times h, times w, F)."""
    count = places(times)
    height, width = x.shape[1] - 1, x.shape[2] - 1
    found = x.new_empty(len(x), times * height, times * width, features)
    for row in range(times):
        for column in range(times):
            y, z = (cell if times == 2 else (cell + 1) // 2 for cell in (row, column))
            top, left = int(y == count - 1), int(z == count - 1)
            first = (y * count + z) * features
            part = x[:, top : top + height, left : left + width, first : first + features]
            found[:, row::times, column::times] = part
    return found
