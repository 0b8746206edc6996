"""Motion knows no pixels: it is measured as it is."""

import numpy as np
import pytest

from sadtalker_service.domain import GestureCue, Track
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.kernels.scene import BREATH, GAZE_X, PITCH, ROLL, SHIFT_X, SHIFT_Y, YAW
from sadtalker_service.engines.mesh.motion.drive import drive
from sadtalker_service.engines.mesh.motion.eyes import blink_shape, blinks
from sadtalker_service.engines.mesh.motion.gestures import GESTURES, gesture_clip
from sadtalker_service.engines.mesh.motion.head import LIMITS, POSE_STYLES, head_style, keep_clean
from sadtalker_service.engines.mesh.motion.lips import lip_motion, rest_closure, to_channels
from sadtalker_service.engines.mesh.motion.signals import frame_times, sample, wander
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.articulation import Articulation
from sadtalker_service.speech.blinking import blink_times
from sadtalker_service.speech.visemes import ARTICULATORS, VISEME_TARGETS, VISEMES

CLOSED = RestMouth(opening=0.0, width=50.0)
HEAD = slice(PITCH, ROLL + 1)
OPENING, WIDTH, JAW = (ARTICULATORS.index(name) for name in ("opening", "width", "jaw"))


def say(opening, closures=(), accents=()):
    """An articulation with a given opening (T,), 100 ticks a second."""
    opening = np.asarray(opening, np.float32)
    shapes = np.zeros((len(opening), len(ARTICULATORS)), np.float32)
    shapes[:, OPENING], shapes[:, JAW] = opening, 0.6 * opening
    ticks = len(opening)
    return Articulation(
        shapes,
        np.zeros((ticks, len(VISEMES)), np.float32),
        np.array(closures, np.float32).reshape(-1, 3),
        np.full(ticks, 0.6, np.float32),
        np.zeros((0, 2), np.float32),
        np.array(accents, np.float32).reshape(-1, 2),
    )


def opening_of(channels):
    """What the channels open, mm: jaw 10, upper lip 3, lower lip 4."""
    weights = np.zeros(channels.shape[1])
    weights[[INDEX["jaw"], INDEX["upper_lip"], INDEX["lower_lip"]]] = 10.0, 3.0, 4.0
    return channels @ weights


def controls(articulation=None, duration=6.0, mouth=CLOSED, **style):
    return drive(articulation, mouth, RenderOptions(**style), duration).coefficients["controls"]


def test_channels_open_the_lips_as_wide_as_wanted():
    wanted = np.zeros((5, len(ARTICULATORS)))
    wanted[:, OPENING] = 0.0, 4.0, 8.0, 12.0, 20.0
    wanted[:, JAW] = 0.0, 2.0, 5.0, 9.0, 12.0
    channels, opening = to_channels(wanted, CLOSED)
    np.testing.assert_allclose(opening_of(channels), wanted[:, OPENING], atol=1e-9)
    np.testing.assert_allclose(opening, wanted[:, OPENING])


def test_a_mouth_that_is_open_in_the_photo_is_closed_first():
    for rest in (0.8, 3.0, 9.0):
        assert opening_of(rest_closure(RestMouth(rest, 50.0))[None])[0] == pytest.approx(-rest)


def test_a_smile_gives_up_its_width_to_purse_but_never_pinches():
    purse = VISEME_TARGETS[[VISEMES.index("U")]].astype(float)
    neutral, _ = to_channels(purse, RestMouth(0.0, 50.0))
    smiling, _ = to_channels(purse, RestMouth(0.0, 60.0))
    assert smiling[0, INDEX["wide"]] < neutral[0, INDEX["wide"]] < -0.8
    assert smiling[0, INDEX["smile"]] < neutral[0, INDEX["smile"]]
    for width in (40.0, 50.0, 70.0):
        channels, _ = to_channels(purse * 3.0, RestMouth(0.0, width))
        assert 7.2 * -channels[0, INDEX["wide"]] <= 0.27 * width + 1e-6


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60])
def test_the_shortest_bilabial_has_a_closed_frame_at_every_frame_rate(fps):
    starts = np.arange(0.3, 5.0, 0.317)
    speech = say(np.full(600, 10.0), [(0, s, s + 0.03) for s in starts])
    times = frame_times(6 * fps, fps)
    _channels, _tongue, opening = lip_motion(speech, times, CLOSED, 1.0)
    for start in starts:
        near = np.abs(times - start - 0.015) <= 0.5 / fps + 0.01
        assert opening[near].min() < 0.5
    assert np.median(opening) > 9.0


def test_expression_scale_scales_the_mouth():
    speech = say(8.0 + 4.0 * np.sin(np.arange(600) / 12.0))
    times = frame_times(150, 25)
    once, twice = (lip_motion(speech, times, CLOSED, scale)[2] for scale in (1.0, 1.5))
    np.testing.assert_allclose(twice, 1.5 * once, atol=1e-6)


def test_equal_seeds_give_equal_motion_and_others_do_not():
    speech = say(np.full(600, 6.0), accents=[(1.0, 0.8), (3.0, 1.0)])
    first = controls(speech, seed=5)
    assert np.array_equal(first, controls(speech, seed=5))
    assert not np.allclose(first, controls(speech, seed=6))
    assert not np.allclose(first, controls(speech, seed=5, pose_style=3))


def test_motion_is_the_same_at_every_frame_rate():
    speech = say(6.0 + 3.0 * np.sin(np.arange(700) / 20.0))
    slow, fast = controls(speech, fps=25), controls(speech, fps=50)
    between = (fast[0::2] + fast[1::2]) / 2
    assert np.abs(between[:, HEAD] - slow[:, HEAD]).max() < np.radians(0.1)
    assert np.abs(between[:, INDEX["jaw"]] - slow[:, INDEX["jaw"]]).max() < 0.02


def test_still_freezes_the_head_and_nothing_else():
    speech = say(np.full(2000, 6.0), accents=[(1.0, 1.0), (5.0, 1.0)])
    moved = controls(speech, 20.0, still=True)
    assert np.all(moved[:, PITCH : SHIFT_Y + 1] == 0.0)
    assert (moved[:, INDEX["blink_right"]] > 0.95).sum() >= 4
    assert np.ptp(moved[:, BREATH]) > 1.0
    assert np.ptp(moved[:, GAZE_X]) > 0.2
    free = controls(speech, 20.0)
    assert free[:, YAW].std() > np.radians(0.8)
    assert np.array_equal(free[:, INDEX["jaw"]], moved[:, INDEX["jaw"]])


def test_idle_faces_keep_the_mouth_closed_and_blink():
    idle = controls(None, 15.0, mouth=RestMouth(1.5, 50.0))
    np.testing.assert_allclose(opening_of(idle[10:-10, : len(INDEX)]), -1.5, atol=1e-5)
    assert (idle[:, INDEX["blink_left"]] > 0.9).any()


def test_head_angles_follow_the_given_tracks():
    speech = say(np.full(1000, 6.0))
    moved = controls(speech, 8.0, input_yaw=Track((0.0, 8.0, -8.0)), input_pitch=Track((5.0,)), still=True)
    yaw = np.degrees(moved[:, YAW])
    assert yaw[100] == pytest.approx(8.0, abs=0.6)
    assert yaw[50] == pytest.approx(4.0, abs=0.6)
    assert yaw[-1] == pytest.approx(-8.0, abs=0.8)
    assert np.degrees(moved[:, PITCH]) == pytest.approx(5.0, abs=0.3)
    assert np.all(moved[:, ROLL] == 0.0)


def test_head_angles_never_leave_the_clean_range():
    moved = controls(None, 5.0, input_yaw=Track((-90.0, 90.0)), input_roll=Track((60.0,)))
    assert np.all(np.abs(moved[:, HEAD]) <= LIMITS + 1e-6)
    small = np.radians([[1.0, -2.0, 3.0]])
    np.testing.assert_allclose(keep_clean(small), small)


def test_all_46_pose_styles_differ():
    styles = [head_style(n) for n in range(POSE_STYLES)]
    assert len(set(styles)) == POSE_STYLES == 46


def test_a_blink_closes_fast_reopens_slowly_and_ends():
    t = np.linspace(-0.1, 0.4, 501)
    shape = blink_shape(t)
    closed = t[shape > 0.999]
    assert shape[0] == shape[-1] == 0.0
    assert closed[0] < 0.09
    assert 0.27 < t[shape > 0.0][-1] < 0.29


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60])
def test_every_blink_has_a_closed_frame(fps):
    begins = [0.513, 2.777, 5.111]
    closure = blinks(begins, frame_times(7 * fps, fps), fps)
    for begin in begins:
        frames = slice(int(begin * fps), int((begin + 0.3) * fps))
        assert closure[frames].max() > 0.97
    assert closure[: int(0.4 * fps)].max() == 0.0


def test_blinks_wait_for_a_pause_that_is_near():
    free = blink_times(np.random.default_rng(3), 9.0, np.zeros((0, 2), np.float32))
    pause = np.array([[free[1] + 0.4, free[1] + 1.0]], np.float32)
    waited = blink_times(np.random.default_rng(3), 9.0, pause)
    assert waited[0] == free[0]
    assert waited[1] == pytest.approx(free[1] + 0.4)
    assert waited[2] == pytest.approx(free[2] + 0.4)


@pytest.mark.parametrize("name", sorted(GESTURES))
def test_gestures_begin_and_end_at_rest(name):
    clip = gesture_clip(name)
    assert np.abs(clip[0]).max() < 0.02
    assert np.abs(clip[-1]).max() < 0.02
    assert np.abs(clip).max() > 0.05


def test_gestures_are_added_at_their_times():
    plain = controls(None, 6.0, still=True)
    nodding = controls(None, 6.0, still=True, gestures=(GestureCue("nod_yes", 2.0), GestureCue("smile", 4.0)))
    difference = nodding - plain
    assert np.all(difference[:48] == 0.0)
    assert np.degrees(np.abs(difference[50:87, PITCH])).max() > 3.0
    assert difference[100:145, INDEX["smile"]].max() == pytest.approx(1.1, abs=0.05)
    assert np.degrees(difference[90:, PITCH]) == pytest.approx(0.0, abs=1e-3)


def test_wandering_has_unit_size_whatever_its_pace():
    for hertz in (0.15, 0.6):
        long = wander(np.random.default_rng(1), 60_000, hertz)
        assert long.std() == pytest.approx(1.0, abs=0.15)


def test_samples_between_ticks_are_linear():
    np.testing.assert_allclose(
        sample(np.array([0.0, 1.0, 3.0]), np.array([0.005, 0.015, 9.0])), [0.5, 2.0, 3.0]
    )


def test_shift_of_the_head_stays_small():
    moved = controls(say(np.full(3000, 6.0)), 30.0)
    assert np.abs(moved[:, SHIFT_X : SHIFT_Y + 1]).max() < 4.5
