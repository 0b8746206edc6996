"""Measure a whole video of a known avatar, from its cached features to bytes and to H.264."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sadtalker_service.bench.sadtalker import encoder
from sadtalker_service.bench.sadtalker.frames import Frames
from sadtalker_service.bench.sadtalker.report import Case, Clip, Encoded
from sadtalker_service.bench.sadtalker.subjects import drawn, inputs
from sadtalker_service.bench.sadtalker.timing import Clock, Run
from sadtalker_service.engines.sadtalker.networks.audio_to_expression import EXPRESSIONS, AudioToExpression
from sadtalker_service.engines.sadtalker.networks.audio_to_pose import (
    POSE,
    AudioToPose,
    chunk_count,
    draw_noise,
)
from sadtalker_service.engines.sadtalker.networks.fusing import prepare
from sadtalker_service.engines.sadtalker.networks.mapping import CLOSE_UP, Mapping, with_ends_repeated

FRAME_RATE = 25
_MEL = (1, 80, 16)
"""Shape of the mel window of a frame."""


@dataclass(frozen=True, eq=False)
class _Avatar:
    """The cached part of an avatar, in host memory."""

    volume: Tensor
    """(32, 16, S/4, S/4) in 16 bits."""
    canonical: Tensor
    """(1, 15, 3)"""
    keypoints: Tensor
    """(1, 15, 3)"""


class Clips:
    """Renders videos with one form of the networks."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._device = frames.device
        self._expression = prepare(drawn(AudioToExpression())).to(self._device)
        self._pose = prepare(drawn(AudioToPose())).to(self._device)
        self._mapping = prepare(drawn(Mapping(CLOSE_UP))).to(self._device)

    def measure(self, case: Case, frames: int, *, repeats: int) -> Clip:
        """Measure one video in all ways that are possible here."""
        avatar = self._avatar(case.size)
        speech_features = torch.randn(frames, *_MEL, generator=torch.Generator().manual_seed(2))
        _, _, driving = inputs(self._device, case.size, frames)

        def new() -> Iterator[Tensor]:
            return self._drawn(avatar, self._keypoints_of(avatar, speech_features), case.batch)

        runs: dict[str, Run] = {
            "known": lambda: list(self._drawn(avatar, driving, case.batch)),
            "new": lambda: list(new()),
        }
        encodes = encoder.is_possible()
        if encodes:
            ready = list(new())
            runs["alone"] = lambda: encoder.encode(ready, FRAME_RATE)
            runs["after"] = lambda: encoder.encode(list(new()), FRAME_RATE)
            runs["beside"] = lambda: encoder.encode_beside(new(), FRAME_RATE)
        times = Clock(self._device, repeats).medians(runs)
        seconds = {name: found.wall for name, found in times.items()}
        return Clip(
            case=case,
            frames=frames,
            known=seconds["known"],
            new=seconds["new"],
            encoded=Encoded(seconds["alone"], seconds["after"], seconds["beside"]) if encodes else None,
        )

    def _avatar(self, size: int) -> _Avatar:
        pictures, source, _ = inputs(self._device, size, 1)
        encoded = self._frames.renderer.encode_source(pictures)
        return _Avatar(encoded.volume[0].half().cpu(), encoded.canonical.cpu(), source.cpu())

    def _keypoints_of(self, avatar: _Avatar, speech_features: Tensor) -> Tensor:
        """(F, 1, 80, 16) mel windows -> (F, 15, 3) keypoints."""
        frames, windows = len(speech_features), speech_features.to(self._device)
        still = windows.new_zeros(frames, EXPRESSIONS)
        expression = self._expression(windows, still, windows.new_zeros(frames, 1))
        noise = draw_noise(chunk_count(frames), torch.Generator().manual_seed(0)).to(self._device)
        pose = self._pose(windows, windows.new_zeros(POSE), 0, noise)
        rows = torch.cat([expression, pose], 1)
        motion = self._mapping(with_ends_repeated(rows)).motion()
        return motion.place(avatar.canonical.to(self._device))

    def _drawn(self, avatar: _Avatar, driving: Tensor, batch: int) -> Iterator[Tensor]:
        """Batches of frames, uint8 (n, S, S, 3). The last batch is drawn at full size for a compiled form."""
        volume, keypoints = avatar.volume[None].to(self._device), avatar.keypoints.to(self._device)
        scene = self._frames.renderer.scene(volume, keypoints)
        draw = self._frames.drawing(scene, batch)
        for part in driving.split(batch):
            full = torch.cat([part, part[-1:].expand(batch - len(part), -1, -1)])
            yield draw(full)[: len(part)]
