"""All motion of a video, as one row of controls per frame, window by window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

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
    SWAY,
    TONGUE,
)
from sadtalker_service.engines.mesh.motion import head
from sadtalker_service.engines.mesh.motion.ease import BOTH_ENDS, Ease, apply_ease
from sadtalker_service.engines.mesh.motion.eyes import Gaze, blinks
from sadtalker_service.engines.mesh.motion.gestures import add_gestures
from sadtalker_service.engines.mesh.motion.lips import LipMotion, rest_closure
from sadtalker_service.engines.mesh.motion.signals import RATE, Signal, sample
from sadtalker_service.media.one_pole import one_pole
from sadtalker_service.options import RenderOptions
from sadtalker_service.options.seeds import random_stream
from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.blinking import BlinkPlan

_BROW_FLASHES = 0.35
"""Share of accents at which the brows rise."""
_MARGIN = 0.1
"""Seconds before the end of a window that need the next one: frames beside a closure may be moved."""
_BLINK_AHEAD = 0.3
"""Seconds ahead in which blinks are decided, because one may be moved by half a frame."""
_IDLE_SECONDS = 4.0
"""Length of a window of an idle video."""
_IDLE_LIVELINESS = 0.35
_LIVELY = 0.7
"""Loudness of lively speech, relative to its loud parts."""
_CALMING = float(np.exp(-1.0 / (0.4 * RATE)))
"""The head becomes calm or lively within about a second."""


def drive(
    articulation: Articulation | None, mouth: RestMouth, style: RenderOptions, duration: float
) -> Motion:
    """Controls of a whole video, see `drive_windows`."""
    windows = None if articulation is None else iter([replace(articulation, end=duration)])
    return Motion.joined(drive_windows(windows, mouth, style, duration))


def drive_windows(
    articulation: Iterator[Articulation] | None,
    mouth: RestMouth,
    style: RenderOptions,
    duration: float | None,
    ease: Ease = BOTH_ENDS,
) -> Iterator[Motion]:
    """Controls of a video, window by window.

    Args:
        articulation: windows of the speech features, or None for an idle video.
        mouth: the mouth of the source image.
        style: how to move. Equal styles, including the seed, give equal motion. No seed is seed 0.
        duration: seconds of an idle video, and of speech if `style` has angles along a track. Otherwise the
            last window of the articulation tells it.
        ease: which ends of the motion are the source image.

    Yields:
        `controls` float32 (F, CONTROLS) and `opening` float32 (F,), the intended opening of the lips in mm.
        There are ceil(duration · fps) frames in all.
    """
    driver = Driver(mouth, style, duration, ease)
    if articulation is None:
        length = duration or 0.0
        for start in np.arange(0.0, length, _IDLE_SECONDS):
            yield driver.idle(min(length, start + _IDLE_SECONDS), length)
        return
    for window in articulation:
        motion = driver.speak(window)
        if motion.frames:
            yield motion


def frame_count(duration: float, fps: int) -> int:
    """Frames of a video of `duration` seconds."""
    return max(1, int(np.ceil(duration * fps - 1e-6)))


def _idle_closure(mouth: RestMouth) -> float:
    """How far an idle face closes its mouth. It keeps a toothy smile and closes a mouth that is only ajar."""
    return 0.0 if mouth.opening > 2.5 else 1.0


class Driver:
    """Moves a face, one window after the other. Its memory is a few seconds."""

    def __init__(
        self, mouth: RestMouth, style: RenderOptions, duration: float | None, ease: Ease = BOTH_ENDS
    ) -> None:
        self._mouth = mouth
        self._style = style
        self._ease = ease
        self._tracks = (style.input_pitch, style.input_yaw, style.input_roll)
        self._duration = duration
        self._frame = 0
        self._lips = LipMotion(mouth, style.expression_scale)
        self._blinks = BlinkPlan(self._random(1))
        self._gaze = Gaze(self._random(2), self._random(2, 1))
        self._pauses: list[float] = []
        self._pause_end = -1.0
        movements = [self._random(3, i) for i in range(10)]
        self._head = head.HeadMotion(movements, head.head_style(style.pose_style))
        self._body = np.zeros((0, 7))
        """Rows of `HeadMotion` from tick `_body_from` on."""
        self._body_from = 0
        self._liveliness = np.zeros(0)
        """Of the ticks that the head has not moved in yet."""
        self._calm: Signal | None = None
        self._brow_sizes = self._random(5)
        self._brows: list[tuple[float, float]] = []

    def speak(self, window: Articulation, margin: float = _MARGIN) -> Motion:
        """The frames that the window settles, maybe none.

        `margin`: seconds before its end that need the next one.
        """
        until = (window.begin + len(window.articulators)) / RATE
        self._note_pauses(window.pauses)
        for at, strength in window.accents.tolist():
            self._head.accent(at, strength)
            flash, size = self._brow_sizes.random() < _BROW_FLASHES, self._brow_sizes.uniform(0.4, 0.9)
            self._brows += [(at, size * strength)] if flash else []
        self._enliven(window.loudness)
        self._lips.add(window)
        times = self._times(until - margin, window.end)
        controls = np.zeros((len(times), CONTROLS))
        channels, tongue, opening = self._lips.at(times, 1.0 / self._style.fps)
        controls[:, : len(CHANNELS)], controls[:, TONGUE] = channels, tongue
        return self._moved(controls, opening, times, window.end)

    def idle(self, until: float, end: float) -> Motion:
        """The frames up to `until` seconds of a video of `end` seconds without speech."""
        times = self._times(until, end if until >= end else None)
        controls = np.zeros((len(times), CONTROLS))
        controls[:, : len(CHANNELS)] = rest_closure(self._mouth) * _idle_closure(self._mouth)
        return self._moved(controls, np.zeros(len(times)), times, end)

    def _random(self, *stream: int) -> np.random.Generator:
        return random_stream(self._style.seed, self._style.pose_style, *stream)

    def _times(self, until: float, end: float | None) -> Signal:
        """Times of the middle of the next frames: those before `until`, or all if the end is known."""
        fps = self._style.fps
        stop = int(np.floor(until * fps + 0.5 - 1e-9)) if end is None else frame_count(end, fps)
        first, self._frame = self._frame, max(self._frame, stop)
        return (np.arange(first, self._frame) + 0.5) / fps

    def _note_pauses(self, pauses: NDArray[np.float32]) -> None:
        for start, end in pauses.tolist():
            if start > self._pause_end + 1e-6:  # otherwise it goes on from the window before
                self._pauses.append(start)
            self._pause_end = end
        self._pauses = self._pauses[-100:]

    def _enliven(self, loudness: NDArray[np.float32]) -> None:
        level = np.asarray(loudness, np.float64)[:, None]
        if not len(level):
            return
        if self._calm is None:
            self._calm = level[:100].mean(axis=0) / (1 - _CALMING)
        smooth = one_pole(level, _CALMING, self._calm)[:, 0] * (1 - _CALMING)
        self._liveliness = np.concatenate([self._liveliness, np.clip(smooth / _LIVELY, 0.0, 1.0)])

    def _moved(self, controls: Signal, opening: Signal, times: Signal, end: float | None) -> Motion:
        if len(times):
            self._move_eyes(controls, times, end)
            self._move_head(controls, times)
            add_gestures(controls, self._style.gestures, times)
            controls[:, PITCH : ROLL + 1] = head.keep_clean(controls[:, PITCH : ROLL + 1])
            self._ease_ends(controls, opening, times, end)
        arrays = {"controls": controls.astype(np.float32), "opening": opening.astype(np.float32)}
        return Motion(self._style.fps, arrays)

    def _ease_ends(self, controls: Signal, opening: Signal, times: Signal, end: float | None) -> None:
        """Begin and end at the source image. Angles that follow a track keep to it."""
        silent = end is not None and self._pauses and self._pause_end > end - 1.0 / RATE
        mouth = self._ease.mouth(times, end, self._pauses[-1] if silent else None)
        free = tuple(PITCH + k for k, track in enumerate(self._tracks) if track is not None)
        apply_ease(controls, self._ease.head(times, end), mouth, free)
        opening *= mouth
        opening += (1.0 - mouth) * self._mouth.opening

    def _move_eyes(self, controls: Signal, times: Signal, end: float | None) -> None:
        for begin in self._blinks.decide(times[-1] + _BLINK_AHEAD, self._pauses, end):
            self._gaze.blink(begin)
        near = [begin for begin in self._blinks.begins if begin > times[0] - 1.0]
        self._blinks.begins = near
        closure = blinks(near, times, self._style.fps)
        controls[:, INDEX["blink_right"]] += closure
        controls[:, INDEX["blink_left"]] += 0.98 * closure
        first, last = _ticks_around(times)
        look = sample(self._gaze.between(first, last), times - first / RATE)
        controls[:, GAZE_X], controls[:, GAZE_Y] = look.T

    def _move_head(self, controls: Signal, times: Signal) -> None:
        style = self._style
        first, last = _ticks_around(times)
        self._take_body(last)
        body = self._body[first - self._body_from : last - self._body_from].copy()
        if style.still:
            body[:, :6] = 0.0
        if any(self._tracks):
            body[:, :3] = head.follow_tracks(body[:, :3], self._tracks, self._duration or 0.0, first)
        moved = sample(body, times - first / RATE)
        controls[:, PITCH : ROLL + 1] += moved[:, :3]
        controls[:, SHIFT_X : SHIFT_Y + 1] += moved[:, 3:5]
        controls[:, SWAY], controls[:, BREATH] = moved[:, 5], moved[:, 6]
        controls[:, INDEX["brow"]] += self._raised_brows(times)
        self._body = self._body[first - self._body_from :]
        self._body_from = first

    def _take_body(self, last: int) -> None:
        """Move the head up to tick `last`."""
        missing = max(0, last - self._body_from - len(self._body))
        lively = self._liveliness[:missing]
        rest = lively[-1] if len(lively) else 0.0 if self._calm is not None else _IDLE_LIVELINESS
        lively = np.concatenate([lively, np.full(missing - len(lively), rest)])
        self._liveliness = self._liveliness[missing:]
        self._body = np.concatenate([self._body, self._head.take(lively)])

    def _raised_brows(self, times: Signal) -> Signal:
        out = np.zeros(len(times))
        for at, size in self._brows:
            out += size * np.exp(-(((times - at + 0.03) / 0.22) ** 2))
        self._brows = [(at, size) for at, size in self._brows if at > times[-1] - 1.0]
        return np.clip(out, 0.0, 1.0) * 0.8


def _ticks_around(times: Signal) -> tuple[int, int]:
    """First tick and last tick + 1 between which the times are."""
    return int(times[0] * RATE), int(np.ceil(times[-1] * RATE)) + 2
