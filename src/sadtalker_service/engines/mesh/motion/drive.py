"""All motion of a video, as one row of controls per frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Motion
from sadtalker_service.engines.mesh.channels import CHANNELS, INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.kernels.scene import (
    BREATH,
    CONTROLS,
    GAZE_X,
    GAZE_Y,
    PITCH,
    ROLL,
    SHIFT_X,
    SHIFT_Y,
    TONGUE,
)
from sadtalker_service.engines.mesh.motion import head
from sadtalker_service.engines.mesh.motion.eyes import blinks, gaze
from sadtalker_service.engines.mesh.motion.gestures import add_gestures
from sadtalker_service.engines.mesh.motion.lips import lip_motion, rest_closure
from sadtalker_service.engines.mesh.motion.signals import Signal, frame_times, sample, smooth, ticks
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.blinking import blink_times

_BROW_FLASHES = 0.35
"""Share of accents at which the brows rise."""


def drive(
    articulation: Articulation | None, mouth: RestMouth, style: RenderOptions, duration: float
) -> Motion:
    """Controls of a video.

    Args:
        articulation: the speech features, or None for an idle video.
        mouth: the mouth of the source image.
        style: how to move. Equal styles, including the seed, give equal motion.
        duration: seconds. The video has ceil(duration · fps) frames.

    Returns:
        `controls` float32 (F, CONTROLS) and `opening` float32 (F,), the intended opening of the lips in mm.
    """
    frames = max(1, int(np.ceil(duration * style.fps - 1e-6)))
    times = frame_times(frames, style.fps)
    controls = np.zeros((frames, CONTROLS))
    opening = np.zeros(frames)
    if articulation is None:
        controls[:, : len(CHANNELS)] = rest_closure(mouth) * _idle_closure(mouth)
    else:
        channels, tongue, opening = lip_motion(articulation, times, mouth, style.expression_scale)
        controls[:, : len(CHANNELS)] = channels
        controls[:, TONGUE] = tongue
    _move_eyes(controls, articulation, style, duration, times)
    _move_head(controls, articulation, style, duration, times)
    add_gestures(controls, style.gestures, times)
    controls[:, PITCH : ROLL + 1] = head.keep_clean(controls[:, PITCH : ROLL + 1])
    return Motion(
        style.fps,
        {"controls": controls.astype(np.float32), "opening": opening.astype(np.float32)},
    )


def _idle_closure(mouth: RestMouth) -> float:
    """How far an idle face closes its mouth. It keeps a toothy smile and closes a mouth that is only ajar."""
    return 0.0 if mouth.opening > 2.5 else 1.0


def _random_stream(style: RenderOptions, stream: int) -> np.random.Generator:
    """A separate random stream for each kind of motion, so that changing one leaves the others unchanged."""
    return np.random.default_rng([style.seed, style.pose_style, stream])


def _feature_array(articulation: Articulation | None, name: str, width: int) -> NDArray[np.float32]:
    return np.zeros((0, width), np.float32) if articulation is None else getattr(articulation, name)


def _move_eyes(
    controls: Signal, articulation: Articulation | None, style: RenderOptions, duration: float, times: Signal
) -> None:
    begins = blink_times(_random_stream(style, 1), duration, _feature_array(articulation, "pauses", 2))
    closure = blinks(begins, times, style.fps)
    controls[:, INDEX["blink_right"]] += closure
    controls[:, INDEX["blink_left"]] += 0.98 * closure
    look = sample(gaze(_random_stream(style, 2), duration, begins), times)
    controls[:, GAZE_X], controls[:, GAZE_Y] = look.T


def _move_head(
    controls: Signal, articulation: Articulation | None, style: RenderOptions, duration: float, times: Signal
) -> None:
    length = ticks(duration)
    liveliness = np.full(length, 0.35)
    accents = _feature_array(articulation, "accents", 2)
    if articulation is not None and len(articulation.loudness):
        level = smooth(articulation.loudness, 0.5)
        level = np.pad(level, (0, max(0, length - len(level))), mode="edge")[:length]
        liveliness = level / max(1e-6, float(np.percentile(level, 95)))
    angles, shift = head.head_motion(
        _random_stream(style, 3),
        duration,
        head.head_style(style.pose_style),
        np.clip(liveliness, 0, 1),
        accents,
    )
    if style.still:
        angles, shift = angles * 0.0, shift * 0.0
    tracks = (style.input_pitch, style.input_yaw, style.input_roll)
    angles = head.follow_tracks(angles, tracks, duration)
    controls[:, PITCH : ROLL + 1] += sample(angles, times)
    controls[:, SHIFT_X : SHIFT_Y + 1] += sample(shift, times)
    controls[:, BREATH] = sample(head.breathing(_random_stream(style, 4), duration), times)
    controls[:, INDEX["brow"]] += _brows(_random_stream(style, 5), accents, times)


def _brows(rng: np.random.Generator, accents: NDArray[np.float32], times: Signal) -> Signal:
    out = np.zeros(len(times))
    for at, strength in accents:
        flash, size = rng.random() < _BROW_FLASHES, rng.uniform(0.4, 0.9)
        if flash:
            out += size * float(strength) * np.exp(-(((times - at + 0.03) / 0.22) ** 2))
    return np.clip(out, 0.0, 1.0) * 0.8
