"""A video begins and ends as the source image, however its sound ends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sadtalker_service.domain import Motion, Track
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.kernels.scene import GAZE_X, PITCH, ROLL, SHIFT_X, SHIFT_Y, YAW
from sadtalker_service.engines.mesh.motion.drive import drive, drive_windows
from sadtalker_service.engines.mesh.motion.ease import Ease
from sadtalker_service.engines.mesh.motion.signals import Signal
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.visemes import ARTICULATORS, VISEMES

OPENING, JAW = ARTICULATORS.index("opening"), ARTICULATORS.index("jaw")
SMILE = RestMouth(opening=6.0, width=58.0)
CLOSED = RestMouth(opening=0.0, width=50.0)
BLINKS = [INDEX["blink_right"], INDEX["blink_left"]]
STILL = [k for k in range(ROLL + 1) if k not in BLINKS]


def speech(seconds: float, pause: float = 0.0, begin: float = 0.0, *, last: bool = True) -> Articulation:
    """A mouth that never shuts by itself, over `seconds`, of which the last `pause` are silent."""
    ticks = round(100 * seconds)
    shapes = np.zeros((ticks, len(ARTICULATORS)), np.float32)
    shapes[:, OPENING] = 8.0
    shapes[:, JAW] = 5.0
    pauses = [(begin + seconds - pause, begin + seconds)] if pause else []
    return Articulation(
        shapes,
        np.zeros((ticks, len(VISEMES)), np.float32),
        np.zeros((0, 3), np.float32),
        np.full(ticks, 0.7, np.float32),
        np.array(pauses, np.float32).reshape(-1, 2),
        np.array([(begin + 0.9, 1.0)], np.float32),
        begin=round(100 * begin),
        end=begin + seconds if last else None,
    )


def away(row: Signal) -> tuple[float, float, float]:
    """How far a frame is from the source image: largest angle (degrees), shift (mm) and channel."""
    angles, shift = np.degrees(row[PITCH : ROLL + 1]), row[SHIFT_X : SHIFT_Y + 1]
    channels = np.delete(row[: len(INDEX)], BLINKS)
    return float(np.abs(angles).max()), float(np.abs(shift).max()), float(np.abs(channels).max())


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60])
@pytest.mark.parametrize("mouth", [CLOSED, SMILE])
def test_the_first_and_the_last_frame_are_the_source_image(mouth: RestMouth, fps: int) -> None:
    for seed in range(6):
        moved = drive(speech(4.0), mouth, RenderOptions(seed=seed, fps=fps, pose_style=seed), 4.0)
        controls = moved.coefficients["controls"]
        for row in (controls[0], controls[-1]):
            angle, shift, channel = away(row)
            assert angle < 0.3
            assert shift < 0.1
            assert channel < 0.03
        assert away(controls[len(controls) // 2])[2] > 0.4
        assert moved.coefficients["opening"][[0, -1]] == pytest.approx(mouth.opening, abs=0.2)


def test_the_lips_are_shut_a_quarter_of_a_second_after_the_last_sound() -> None:
    pause = 0.42
    opening = drive(speech(3.0, pause), CLOSED, RenderOptions(seed=1), 3.0).coefficients["opening"]
    times = (np.arange(len(opening)) + 0.5) / 25
    assert opening[times < 3.0 - pause][12:] == pytest.approx(8.0)
    assert opening[times > 3.0 - pause + 0.25] == pytest.approx(0.0, abs=1e-6)


def windows() -> Iterator[Articulation]:
    yield speech(1.2, last=False)
    yield speech(1.0, begin=1.2, last=False)
    yield speech(0.9, 0.5, begin=2.2)


def test_windows_before_the_last_do_not_rest() -> None:
    whole = Motion.joined(drive_windows(windows(), CLOSED, RenderOptions(seed=2), None))
    opening = whole.coefficients["opening"]
    assert opening[10:64] == pytest.approx(8.0)
    assert opening[-1] == pytest.approx(0.0, abs=1e-6)
    step = np.abs(np.diff(whole.coefficients["controls"][:, PITCH : ROLL + 1], axis=0)).max()
    assert np.degrees(step) < 2.0


def test_each_end_can_be_left_in_motion() -> None:
    free = Motion.joined(
        drive_windows(windows(), CLOSED, RenderOptions(seed=2), None, Ease(begins=False, ends=False))
    ).coefficients["controls"]
    eased = Motion.joined(drive_windows(windows(), CLOSED, RenderOptions(seed=2), None))
    assert free[[0, -1], INDEX["jaw"]] == pytest.approx(0.5)
    middle = slice(12, 64)
    assert np.array_equal(free[middle], eased.coefficients["controls"][middle])


def test_an_idle_video_begins_and_ends_so_too_and_a_track_keeps_its_angles() -> None:
    options = RenderOptions(seed=4, input_yaw=Track((6.0, -6.0)))
    controls = drive(None, CLOSED, options, 4.1).coefficients["controls"]
    assert np.degrees(controls[[0, -1], YAW]) == pytest.approx([6.0, -6.0], abs=1.5)
    assert np.abs(np.degrees(controls[[0, -1]][:, [PITCH, ROLL]])).max() < 0.3
    assert np.abs(controls[[0, -1], GAZE_X]).max() < 0.05


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6])
def test_even_the_shortest_video_ends_at_the_source_image(seconds: float) -> None:
    controls = drive(speech(seconds), SMILE, RenderOptions(seed=5), seconds).coefficients["controls"]
    assert away(controls[0])[2] < 0.05
    assert away(controls[-1])[2] < 0.05


def test_the_eyes_are_open_at_the_end() -> None:
    for seed in range(40):
        controls = drive(speech(3.0 + seed / 40), CLOSED, RenderOptions(seed=seed), 3.0 + seed / 40)
        assert controls.coefficients["controls"][-8:, BLINKS].max() < 0.02
