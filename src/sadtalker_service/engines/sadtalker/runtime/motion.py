"""From images and audio to keypoints: the networks that run once per avatar or once per video.

Arrays in, arrays out. F frames. S is 256 or 512.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sadtalker_service.domain import Uint8Image
from sadtalker_service.engines.sadtalker.inference_port import EncodedFace, Float32
from sadtalker_service.engines.sadtalker.networks.audio_encoder import MELS, STEPS
from sadtalker_service.engines.sadtalker.networks.audio_to_expression import EXPRESSIONS
from sadtalker_service.engines.sadtalker.networks.audio_to_pose import CHUNK, POSE, chunk_count, draw_noise
from sadtalker_service.engines.sadtalker.networks.head_pose import HeadMotion
from sadtalker_service.engines.sadtalker.networks.mapping import CLOSE_UP, FULL, with_ends_repeated
from sadtalker_service.engines.sadtalker.runtime.models import Models

_FRAMES_AT_ONCE = 256
"""Frames of audio that are processed together. Limits the memory for long driven audio."""
_STEP = 128
"""On a GPU the number of frames is rounded up to a multiple of this. The libraries prepare every new shape
for milliseconds per layer, which takes longer than the work itself. So no clip has a shape of its own."""


class MotionNetworks:
    """Implements `inference_port.Networks` in this process. Thread-safe."""

    def __init__(self, models: Models, size: int) -> None:
        self._models = models
        self._size = size
        self._device = models.device_config.device
        self._step = _STEP if models.device_config.on_gpu else 1

    def warm_up(self, *, full_frame: bool) -> None:
        """Run everything that a clip needs, once for each of the shapes that occur."""
        for frames in (self._step, 2 * self._step, 3 * self._step):
            coefficients = FULL if full_frame else CLOSE_UP
            windows = np.zeros((frames, MELS, STEPS), np.float32)
            self.expression(
                windows, np.zeros((frames, EXPRESSIONS), np.float32), np.zeros(frames, np.float32)
            )
            self.pose(windows, np.zeros(POSE, np.float32), style=0, seed=0)
            semantics = np.zeros((frames, coefficients), np.float32)
            self.keypoints(semantics, np.zeros((15, 3), np.float32), {}, full_frame=full_frame)

    @torch.inference_mode()
    def regress(self, pictures: Uint8Image) -> Float32:
        """See `inference_port.Networks`."""
        found = self._models.of_size(self._size).face_regression(self._pictures(pictures))
        return _array(found)

    @torch.inference_mode()
    def encode(self, square: Uint8Image, row: Float32, *, full_frame: bool) -> EncodedFace:
        """See `inference_port.Networks`."""
        encoded = self._models.of_size(self._size).renderer.encode_source(self._pictures(square[None]))
        motion = self._mapped(row[None], full_frame=full_frame)
        return EncodedFace(
            _array(encoded.volume[0].half()),
            _array(encoded.canonical[0]),
            _array(motion.place(encoded.canonical)[0]),
        )

    @torch.inference_mode()
    def expression(self, windows: Float32, reference: Float32, blink: Float32) -> Float32:
        """See `inference_port.Networks`."""
        network = self._models.of_size(self._size).audio_to_expression
        tracks = (_extended(track, self._step) for track in (windows, reference, blink))
        parts = [
            network(self._tensor(speech_features)[:, None], self._tensor(face), self._tensor(closed)[:, None])
            for speech_features, face, closed in zip(*map(_pieces, tracks), strict=True)
        ]
        return _array(torch.cat(parts)[: len(windows)])

    @torch.inference_mode()
    def pose(self, windows: Float32, source: Float32, *, style: int, seed: int, chunk: int = 0) -> Float32:
        """See `inference_port.Networks`."""
        noise = draw_noise(chunk + chunk_count(len(windows)), torch.Generator().manual_seed(seed))[chunk:]
        network = self._models.of_size(self._size).audio_to_pose
        speech_features = self._tensor(windows)[:, None]
        found = network(
            speech_features, self._tensor(source), style, noise.to(self._device), max(CHUNK, self._step)
        )
        return _array(found)

    @torch.inference_mode()
    def keypoints(
        self, semantics: Float32, canonical: Float32, view: Mapping[str, Float32], *, full_frame: bool
    ) -> Float32:
        """See `inference_port.Networks`."""
        motion = self._mapped(_extended(semantics, self._step), full_frame=full_frame)
        angles = {name: self._tensor(_extended(track, self._step)) for name, track in view.items()}
        found = replace(motion, **angles).place(self._tensor(canonical)[None])
        return _array(found[: len(semantics)])

    def _mapped(self, rows: Float32, *, full_frame: bool) -> HeadMotion:
        network = self._models.mapping(full_frame=full_frame)
        return network(with_ends_repeated(self._tensor(rows))).motion()

    def _pictures(self, pictures: Uint8Image) -> Tensor:
        values = torch.from_numpy(np.array(pictures, np.uint8, order="C")).to(self._device)
        return values.permute(0, 3, 1, 2).float() / 255

    def _tensor(self, values: Float32) -> Tensor:
        return torch.from_numpy(np.array(values, np.float32, order="C")).to(self._device)


def _pieces(track: Float32) -> Sequence[Float32]:
    return [track[start : start + _FRAMES_AT_ONCE] for start in range(0, len(track), _FRAMES_AT_ONCE)]


def _extended(track: Float32, step: int) -> Float32:
    """The track with its last row repeated, to a multiple of `step` rows.

    A frame of the mapping network reads the frames around it. Beyond the end it reads the last one, with or
    without repeated rows.
    """
    missing = -len(track) % step
    return np.concatenate([track, np.repeat(track[-1:], missing, 0)]) if missing else track


def _array(values: Tensor) -> NDArray:
    return np.ascontiguousarray(values.cpu().numpy())
