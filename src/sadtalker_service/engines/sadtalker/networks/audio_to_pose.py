"""Audio to pose: head movement. The decoder of a conditional variational auto-encoder with 46 styles.

The checkpoint also holds the encoder of the auto-encoder and the discriminator, which are never run.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sadtalker_service.engines.sadtalker.networks.audio_encoder import FEATURES, AudioEncoder
from sadtalker_service.engines.sadtalker.networks.pose_unet import PoseUNet

CHUNK = 32
"""Frames that are decoded together, with one noise sample."""
_EMBEDDED_AT_ONCE = 256
"""Frames whose audio is embedded together. Limits the memory for long driven audio."""
STYLES = 46
NOISE = 64
POSE = 6
"""Three angles (radians) and three shifts."""
TRAINING_ONLY = ("netG.encoder.", "netD_motion.")
"""Checkpoint keys below `audio2pose.` that are not needed here."""


def chunk_count(frames: int) -> int:
    """Number of chunks, and of noise samples, for `frames` frames. The first frame is the source's own."""
    return -(-(frames - 1) // CHUNK)


def draw_noise(chunks: int, generator: torch.Generator) -> Tensor:
    """(chunks, 64), drawn in order from a generator on the CPU, so that the same seed gives the same
    motion."""
    draws = [torch.randn(1, NOISE, generator=generator) for _ in range(chunks)]
    return torch.cat(draws) if draws else torch.zeros(0, NOISE)


class AudioToPose(nn.Module):
    """Checkpoint prefix `audio2pose.`"""

    def __init__(self) -> None:
        super().__init__()
        self.audio_encoder = nn.ModuleDict({"audio_encoder": AudioEncoder()})
        self.netG = nn.ModuleDict({"decoder": PoseDecoder()})

    def forward(
        self, windows: Tensor, source: Tensor, style: int, noise: Tensor, step: int = CHUNK
    ) -> Tensor:
        """Motion (T, 6), to be added to the source's pose. The first frame is zero.

        windows: (T, 1, 80, 16) mel windows. source: (6,) pose of the source. style: 0..45. noise:
        (chunk_count(T), 64), standard normal.

        An incomplete last chunk is decoded from the last 32 windows, and only its last frames are used. If
        there are fewer than 32 windows, the first one is repeated in front. With a `step` of several chunks
        (frames), work is added up to a multiple of it and its result dropped, so that clips of similar length
        have the same shapes.
        """
        if not 0 <= style < STYLES:
            raise ValueError(f"The pose style is {style}; it must be 0..{STYLES - 1}.")
        frames = len(windows) - 1
        still = source.new_zeros(1, POSE)
        if frames < 1:
            return still
        encoder = self.audio_encoder["audio_encoder"]
        heard = _extended(windows[1:], step if step > CHUNK else 1)
        embedded = torch.cat([encoder(part) for part in heard.split(_EMBEDDED_AT_ONCE)])[:frames]
        if frames < CHUNK:
            embedded = torch.cat([embedded[:1].expand(CHUNK - frames, -1), embedded])
        chunks = embedded.unfold(0, CHUNK, CHUNK).transpose(1, 2)
        rest = frames % CHUNK
        if rest and frames > CHUNK:
            chunks = torch.cat([chunks, embedded[None, -CHUNK:]])
        together = step // CHUNK
        motion = self.netG["decoder"](_extended(chunks, together), source, style, _extended(noise, together))
        motion = motion[: len(chunks)]
        if rest:
            motion = torch.cat([motion[:-1].flatten(0, 1), motion[-1, -rest:]])
        return torch.cat([still, motion.reshape(frames, POSE)])


def _extended(rows: Tensor, step: int) -> Tensor:
    """The rows with the last one repeated, up to a multiple of `step`."""
    missing = -len(rows) % step
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows


class PoseDecoder(nn.Module):
    """Chunks of audio -> chunks of motion."""

    def __init__(self) -> None:
        super().__init__()
        self.classbias = nn.Parameter(torch.empty(STYLES, NOISE))
        self.linear_audio = nn.Linear(FEATURES, POSE)
        self.MLP = nn.ModuleDict(
            {"L0": nn.Linear(POSE + NOISE + CHUNK * POSE, 128), "L1": nn.Linear(128, CHUNK * POSE)}
        )
        self.resunet = PoseUNet()
        self.pose_linear = nn.Linear(POSE, POSE)

    def forward(self, embedded: Tensor, source: Tensor, style: int, noise: Tensor) -> Tensor:
        """(N, 32, 512) embeddings, (6,) pose of the source, (N, 64) noise -> (N, 32, 6) motion."""
        count = len(embedded)
        audio = self.linear_audio(embedded).reshape(count, CHUNK * POSE)
        seed = torch.cat([source.expand(count, -1), noise + self.classbias[style], audio], 1)
        sketch = torch.sigmoid(self.MLP["L1"](F.relu_(self.MLP["L0"](seed))))
        return self.pose_linear(self.resunet(sketch.reshape(count, 1, CHUNK, POSE)).squeeze(1))
