"""From speech features to keypoints, piece by piece: what `SadTalkerEngine.drive` does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact, Avatar, Motion
from sadtalker_service.engines.port import References
from sadtalker_service.engines.sadtalker import stages
from sadtalker_service.engines.sadtalker.driving import angles
from sadtalker_service.engines.sadtalker.driving.coefficients import drive, driving_semantics, settled_blinks
from sadtalker_service.engines.sadtalker.driving.mel import VIDEO_RATE
from sadtalker_service.engines.sadtalker.driving.parts import Part, at_rate, with_neighbours
from sadtalker_service.engines.sadtalker.driving.pieces import PIECE, heard, idle, whole_frames
from sadtalker_service.engines.sadtalker.driving.reference import expressions, motion, taken_over
from sadtalker_service.engines.sadtalker.inference_port import Networks
from sadtalker_service.options import RenderOptions

_MAPPED_OVER = 13
"""Frames before and after a frame that its keypoints depend on (`networks.mapping.WINDOW`)."""


def spoken_motion(
    avatar: Avatar,
    networks: Networks,
    speech_features: Iterator[Artefact] | None,
    options: RenderOptions,
    duration: float | None,
    references: References,
    piece: int = PIECE,
) -> Iterator[Motion]:
    """Keypoints (F, 15, 3), some frames at a time: those of the whole video in one pass, up to rounding.

    Args:
        avatar: of the engine.
        networks: for its frame size.
        speech_features: see `Engine.drive`.
        options: with a seed.
        duration: seconds of the video. None if it is as long as the audio, and the options have no angles.
        references: reference videos.
        piece: frames that go through the audio networks at once, a multiple of 32.
    """
    full_frame = stages.is_full_frame(avatar.mode)
    source = avatar.artefacts[stages.named("3dmm_coeffs", options.side)].arrays["row"]
    canonical = avatar.artefacts[stages.named("face_mesh", options.side)].arrays["canonical"]
    pieces = (
        idle(duration or 0.0, piece) if speech_features is None else heard(speech_features, duration, piece)
    )
    view = angles.free_view(options, whole_frames(duration or 0.0, VIDEO_RATE))

    def keypoints(rows: NDArray[np.float32], first: int) -> NDArray[np.float32]:
        semantics = driving_semantics(
            rows,
            source,
            full_frame=full_frame,
            still=options.still,
            expression_scale=options.expression_scale,
        )
        turned = {name: track[first : first + len(rows)] for name, track in view.items()}
        return networks.keypoints(semantics, canonical, turned, full_frame=full_frame)

    rows = drive(
        pieces,
        source,
        blink=partial(settled_blinks, seed=options.seed or 0),
        expression=networks.expression,
        pose=partial(networks.pose, style=options.pose_style, seed=options.seed or 0),
        reference_expression=taken_over(expressions, references.eyeblink),
        reference_motion=taken_over(motion, references.pose),
    )
    for part in _at_rate(with_neighbours(rows, _MAPPED_OVER, keypoints), options.fps):
        if len(part.rows):
            yield Motion(options.fps, {"keypoints": part.rows})


def _at_rate(parts: Iterator[Part], fps: int) -> Iterator[Part]:
    if fps == VIDEO_RATE:
        return parts
    flat = (Part(part.rows.reshape(len(part.rows), -1), part.duration) for part in parts)
    resampled = at_rate(flat, VIDEO_RATE, fps, whole_frames)
    return (Part(part.rows.reshape(len(part.rows), -1, 3), part.duration) for part in resampled)
