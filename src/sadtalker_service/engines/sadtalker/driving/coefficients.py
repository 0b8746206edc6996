"""Rows of coefficients: from the networks' outputs to the mapping network's input.

A row has 64 expression coefficients and 6 of pose (three angles in radians, three shifts). Rows of 73 also
have the 3 of the face's placement (`alignment.AlignedFace`). T frames at 25 fps.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.engines.sadtalker.driving.tracks import smoothed

Float32 = NDArray[np.float32]

EXPRESSION, POSE, PLACEMENT = slice(0, 64), slice(64, 70), slice(70, 73)
MOVING = 70
"""Number of coefficients that move. The rest of a row is the same in every frame."""

_REGRESSED_EXPRESSION, _REGRESSED_ANGLE, _REGRESSED_SHIFT = slice(80, 144), slice(224, 227), slice(254, 257)
"""Their positions in the 257 coefficients of the 3DMM regression."""


class ExpressionNetwork(Protocol):
    """`networks.AudioToExpression`, in batches chosen by its caller."""

    def __call__(self, windows: Float32, reference: Float32, blink: Float32) -> Float32:
        """Mel windows (T, 80, 16), reference expression (T, 64), eye closure (T,) -> (T, 64)."""


class PoseNetwork(Protocol):
    """`networks.AudioToPose` with its style and noise chosen."""

    def __call__(self, windows: Float32, source: Float32) -> Float32:
        """Mel windows (T, 80, 16), pose of the source (6,) -> motion (T, 6), to be added to that pose."""


def rows_of(regressed: Float32, placement: Float32) -> Float32:
    """(N, 257) of the 3DMM regression and (N, 3) placements -> rows (N, 73)."""
    parts = [regressed[:, part] for part in (_REGRESSED_EXPRESSION, _REGRESSED_ANGLE, _REGRESSED_SHIFT)]
    return np.concatenate([*parts, placement], axis=1).astype(np.float32)


def drive(
    windows: Float32,
    source: Float32,
    blink: Float32,
    *,
    expression: ExpressionNetwork,
    pose: PoseNetwork,
    reference_expression: Float32 | None = None,
    reference_motion: Float32 | None = None,
) -> Float32:
    """Rows (T, 70) for driven audio.

    Args:
        windows: (T, 80, 16) of `mel.mel_windows` or `mel.idle_windows`.
        source: (73,) row of the source image.
        blink: (T,) of `blinking.blinks`. Ignored if there is a reference expression, which has its own
            blinks.
        expression: gives the mouth movement. It replaces the source's expression.
        pose: gives the head movement.
        reference_expression: (T, 64) of `reference.expressions`.
        reference_motion: (T, 6) of `reference.motion`, added after the smoothing.
    """
    frames = len(windows)
    if reference_expression is None:
        reference_expression = np.repeat(source[None, EXPRESSION], frames, axis=0)
    else:
        blink = np.zeros(frames, np.float32)
    poses = smoothed(source[POSE] + pose(windows, source[POSE]))
    if reference_motion is not None:
        poses = poses + reference_motion
    return np.concatenate([expression(windows, reference_expression, blink), poses], axis=1)


def driving_semantics(
    rows: Float32, source: Float32, *, full_frame: bool, still: bool, expression_scale: float
) -> Float32:
    """The mapping network's input for the frames: (T, 73), or (T, 70) unless `full_frame`.

    Args:
        rows: (T, 70) of `drive`.
        source: (73,) row of the source image.
        full_frame: add the placement, as `mapping_00109` needs it for the modes `full` and `extfull`.
        still: the head keeps its pose from the source image. Expression and blinks continue.
        expression_scale: amplitude of the expression.
    """
    out = np.repeat(source_semantics(source, full_frame=full_frame)[None], len(rows), axis=0)
    out[:, EXPRESSION] = rows[:, EXPRESSION] * np.float32(expression_scale)
    if not still:
        out[:, POSE] = rows[:, POSE]
    return out


def source_semantics(source: Float32, *, full_frame: bool) -> Float32:
    """The mapping network's input for the source image: (73,), or (70,) unless `full_frame`."""
    return source if full_frame else source[:MOVING]
