"""Rows of coefficients: from the networks' outputs to the mapping network's input.

A row has 64 expression coefficients and 6 of pose (three angles in radians, three shifts). Rows of 73 also
have the 3 of the face's placement (`alignment.AlignedFace`). T frames at 25 fps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.engines.sadtalker.driving.blinking import FRAMES_OF_A_BLINK, SETTLED_FROM, blinks
from sadtalker_service.engines.sadtalker.driving.parts import Part, with_neighbours
from sadtalker_service.engines.sadtalker.driving.pieces import Piece
from sadtalker_service.engines.sadtalker.driving.tracks import SMOOTHED_OVER, smoothed

Float32 = NDArray[np.float32]

EXPRESSION, POSE, PLACEMENT = slice(0, 64), slice(64, 70), slice(70, 73)
CHUNK = 32
"""Frames whose head movement is made together."""
TakenOver = Callable[[int, int], Float32]
"""(n, number of the first frame) -> (n, C): what of a reference video is taken over."""
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

    def __call__(self, windows: Float32, source: Float32, *, chunk: int) -> Float32:
        """Mel windows (T, 80, 16), pose of the source (6,) -> motion (T, 6), to be added to that pose.

        The first frame does not move. `chunk`: number of the first of the chunks of the others.
        """


def rows_of(regressed: Float32, placement: Float32) -> Float32:
    """(N, 257) of the 3DMM regression and (N, 3) placements -> rows (N, 73)."""
    parts = [regressed[:, part] for part in (_REGRESSED_EXPRESSION, _REGRESSED_ANGLE, _REGRESSED_SHIFT)]
    return np.concatenate([*parts, placement], axis=1).astype(np.float32)


def drive(
    pieces: Iterator[Piece],
    source: Float32,
    *,
    blink: Callable[[Piece], Float32],
    expression: ExpressionNetwork,
    pose: PoseNetwork,
    reference_expression: TakenOver | None = None,
    reference_motion: TakenOver | None = None,
) -> Iterator[Part]:
    """Rows (T, 70) for driven audio, part by part.

    Args:
        pieces: of the driven audio.
        source: (73,) row of the source image.
        blink: eye closure in the frames of a piece, see `settled_blinks`. Ignored if there is a reference
            expression, which has its own blinks.
        expression: gives the mouth movement. It replaces the source's expression.
        pose: gives the head movement.
        reference_expression: 64 values for each frame, `reference.expressions`.
        reference_motion: 6 values for each frame, `reference.motion`, added after the smoothing.
    """

    def face(piece: Piece) -> Float32:
        windows, frames = piece.windows[: piece.frames], piece.frames
        if reference_expression is None:
            return expression(windows, np.repeat(source[None, EXPRESSION], frames, axis=0), blink(piece))
        return expression(windows, reference_expression(frames, piece.first), np.zeros(frames, np.float32))

    def rows() -> Iterator[Part]:
        head = _HeadMotion(source[POSE], pose)
        for piece in pieces:
            yield Part(np.concatenate([face(piece), source[POSE] + head(piece)], axis=1), piece.duration)

    def smooth(rows: Float32, first: int) -> Float32:
        poses = smoothed(rows[:, POSE])
        if reference_motion is not None:
            poses = poses + reference_motion(len(rows), first)
        return np.concatenate([rows[:, EXPRESSION], poses], axis=1)

    return with_neighbours(rows(), SMOOTHED_OVER, smooth)


def settled_blinks(piece: Piece, seed: int) -> Float32:
    """Eye closure (n,) in the frames of a piece: that of the whole video (`blinking.blinks`)."""
    if not piece.exactly and piece.known < max(SETTLED_FROM, piece.first + piece.frames + FRAMES_OF_A_BLINK):
        raise ValueError(f"The blinks of {piece.frames} of {piece.known} frames may still change.")
    return blinks(piece.known, seed)[piece.first : piece.first + piece.frames]


class _HeadMotion:
    """The head movement of one piece after the other, as if they came at once.

    Frame 0 does not move. All others belong to chunks of 32 that are made together, so a piece gives the
    first frame of the next one as well. The last chunk is made of the last 32 windows.
    """

    def __init__(self, source: Float32, pose: PoseNetwork) -> None:
        self._source = source
        self._pose = pose
        self._next = np.zeros((1, len(source)), np.float32)
        self._before: Float32 | None = None
        """The last windows of the piece before, as many as a chunk."""

    def __call__(self, piece: Piece) -> Float32:
        """(n, 6), to be added to the source's pose."""
        windows, wanted = piece.windows, len(piece.windows) - 1
        if self._before is not None and 0 < wanted < CHUNK:
            windows = np.concatenate([self._before, windows])[-CHUNK - 1 :]
        if wanted:
            found = self._pose(windows, self._source, chunk=piece.first // CHUNK)[-wanted:]
            self._next = np.concatenate([self._next, found])
        rows, self._next = self._next[: piece.frames], self._next[piece.frames :]
        self._before = piece.windows[: piece.frames][-CHUNK:]
        return rows


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
