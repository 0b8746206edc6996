"""Features, blinks, paths and rows match the original, except for its faults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.sadtalker_inputs import RATE, pieces_of, rows_of_parts, speech_like

from sadtalker_service.engines.sadtalker.driving.angles import path
from sadtalker_service.engines.sadtalker.driving.blinking import blinks
from sadtalker_service.engines.sadtalker.driving.coefficients import (
    drive,
    driving_semantics,
    rows_of,
    source_semantics,
)
from sadtalker_service.engines.sadtalker.driving.mel import (
    frame_count,
    idle_windows,
    mel_spectrogram,
    mel_windows,
)
from sadtalker_service.engines.sadtalker.driving.tracks import (
    at_rate,
    repeated,
    resampled,
    smoothed,
    there_and_back,
)

COEFFICIENT = 1e-5
CLIPS = {"A": 3377, "B": 450, "C": 930}
"""Milliseconds of driven audio."""


@pytest.mark.parametrize("clip", CLIPS)
def test_features_are_the_originals(clip: str, golden: Any) -> None:
    wanted = golden("e2e_audio")
    samples = speech_like(CLIPS[clip])
    frames = frame_count(len(samples))
    assert frames == wanted[f"{clip}.num_frames"]
    assert [len(samples), frames * 640] == wanted[f"{clip}.wav_samples"].tolist()
    mel = mel_spectrogram(samples)
    assert wanted.error(f"{clip}.mel", mel) < COEFFICIENT
    assert wanted.error(f"{clip}.indiv_all", mel_windows(mel, np.arange(frames))) < COEFFICIENT


def test_features_of_long_audio_equal_those_of_its_parts() -> None:
    """Long audio is transformed in blocks. The columns around block borders must be the same as elsewhere."""
    samples = np.tile(speech_like(4000), 10)
    whole, part = mel_spectrogram(samples), mel_spectrogram(samples[RATE * 20 : RATE * 30])
    assert np.abs(whole[1610:2390] - part[10:790]).max() < COEFFICIENT


@pytest.mark.parametrize("clip", CLIPS)
def test_blinks_are_the_originals_for_its_seed(clip: str, golden: Any) -> None:
    wanted = golden("e2e_audio")[f"{clip}.blink"]
    assert np.array_equal(blinks(len(wanted), 7), wanted)


@pytest.mark.parametrize(("frames", "seed"), [(22, 0), (50, 1), (200, 2), (84, 3)])
def test_blinks_follow_the_seed(frames: int, seed: int, golden: Any) -> None:
    wanted = golden("e2e_audio")[f"blink.n{frames}.seed{seed}"]
    assert np.abs(blinks(frames, seed) - wanted).max() < 1e-6
    assert np.any(blinks(200, seed) != blinks(200, seed + 1))


@pytest.mark.parametrize("frames", range(22))
def test_short_clips_have_no_blink_and_do_not_fail(frames: int) -> None:
    """The original fails at 21 frames."""
    assert not blinks(frames, 0).any()


@given(st.integers(22, 2000), st.integers())
def test_eyes_are_open_in_the_first_and_last_frame(frames: int, seed: int) -> None:
    closed = blinks(frames, seed)
    assert closed[0] == closed[-1] == 0
    assert closed.max() == 1


@pytest.mark.parametrize("clip", CLIPS)
def test_smoothing_is_the_originals(clip: str, golden: Any) -> None:
    """84, 11 and 23 frames."""
    wanted = golden("e2e_audio")
    found = smoothed(wanted[f"{clip}.pose_before_savgol"])
    assert found.dtype == np.float32
    assert np.abs(found - wanted[f"{clip}.coeff"][:, 64:]).max() < COEFFICIENT


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_tiny_clips_are_unchanged(frames: int) -> None:
    """A parabola through three points equals those points. The original fails with fewer."""
    track = np.random.default_rng(0).normal(size=(frames, 6)).astype(np.float32)
    assert smoothed(track).shape == track.shape
    if frames <= 3:
        assert np.abs(smoothed(track) - track).max() < COEFFICIENT


def test_paths_are_the_originals(golden: Any) -> None:
    wanted = golden("e2e_semantics")
    for name, stops, frames in (
        ("camera.0_30_-10.n40", (0, 30, -10), 40),
        ("camera.0_30_0.n7", (0, 30, 0), 7),
        ("camera.5.n3", (5,), 3),
        ("crop5_angles.yaw_c_seq", (0, 30, 0), 5),
        ("crop5_angles.pitch_c_seq", (0, -20), 5),
        ("crop5_angles.roll_c_seq", (10,), 5),
    ):
        values = wanted[name].ravel()
        assert np.abs(path(stops, frames) - values[:frames]).max() < COEFFICIENT


@given(
    st.lists(st.floats(-90, 90).map(lambda degrees: round(degrees, 1)), min_size=1, max_size=5),
    st.integers(1, 300),
)
def test_any_path_stays_between_its_stops(stops: list[float], frames: int) -> None:
    """Also where the original divides by zero: stops that do not move, and a single frame."""
    walked = path(stops, frames)
    assert walked.shape == (frames,)
    assert walked[0] == np.float32(stops[0])
    assert min(stops) - 1e-4 <= walked.min()
    assert walked.max() <= max(stops) + 1e-4


def test_path_without_a_stop_is_rejected() -> None:
    with pytest.raises(ValueError, match="at least one"):
        path((), 10)


VARIANTS = {
    "crop4": (4, False, False, 1.0),
    "crop5": (5, False, False, 1.0),
    "crop5_x1.5": (5, False, False, 1.5),
    "crop5_still": (5, False, True, 1.0),
    "full5": (5, True, False, 1.0),
    "full5_still": (5, True, True, 1.0),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_mapping_network_inputs_equal_the_originals(variant: str, golden: Any) -> None:
    """The original uses batches of two lanes there, with the last window repeated."""
    frames, full_frame, still, scale = VARIANTS[variant]
    wanted, source = golden("e2e_semantics"), golden("e2e_audio")["source_coeff"][0]
    rows = driving_semantics(
        wanted["rows"][:frames], source, full_frame=full_frame, still=still, expression_scale=scale
    )
    around = np.clip(np.arange(frames)[:, None] + np.arange(-13, 14), 0, frames - 1)
    windows = rows[around].transpose(0, 2, 1)
    lanes = wanted[f"{variant}.target"].reshape(-1, *windows.shape[1:])
    assert np.abs(lanes[:frames] - windows).max() < COEFFICIENT
    source_image = source_semantics(source, full_frame=full_frame)
    assert np.abs(source_image - wanted[f"{variant}.source"]).max() < COEFFICIENT


def test_row_is_selected_from_the_regression() -> None:
    (row,) = rows_of(np.arange(257, dtype=np.float32)[None], np.array([[1, 128, 120]], np.float32))
    assert row.tolist() == [*range(80, 144), *range(224, 227), *range(254, 257), 1, 128, 120]


def test_still_head_keeps_blinking() -> None:
    """With networks that pass on the eye closure and move the head."""
    source = np.linspace(-1, 1, 73, dtype=np.float32)
    blink = blinks(100, 1)
    parts = drive(
        pieces_of(idle_windows(100)),
        source,
        blink=lambda _: blink,
        expression=lambda windows, reference, closing: reference + closing[:, None],
        pose=lambda windows, pose, *, chunk: np.ones((len(windows), 6), np.float32),
    )
    rows = rows_of_parts(parts)
    still = driving_semantics(rows, source, full_frame=True, still=True, expression_scale=1.0)
    assert np.array_equal(still[:, 64:], np.tile(source[64:], (100, 1)))
    assert np.abs(still[:, :64] - source[:64] - blink[:, None]).max() < 1e-6
    free = driving_semantics(rows, source, full_frame=True, still=False, expression_scale=1.0)
    assert np.abs(free[13:, 64:70] - source[64:70] - 1).max() < 1e-5


def test_loops() -> None:
    track = np.arange(4, dtype=np.float32)[:, None]
    assert repeated(track, 6).ravel().tolist() == [0, 1, 2, 3, 0, 1]
    assert there_and_back(track, 9).ravel().tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert there_and_back(track, 3).ravel().tolist() == [0, 1, 2]
    assert there_and_back(track[:1], 3).ravel().tolist() == [0, 0, 0]


def test_track_at_another_rate() -> None:
    """A straight line stays straight, and its end values continue indefinitely."""
    line = np.arange(50, dtype=np.float32)[:, None] / 25
    at_30 = at_rate(line, 25, 30, 70)
    assert np.abs(at_30.ravel() - np.minimum(np.arange(70) / 30, 49 / 25)).max() < 1e-5
    assert np.array_equal(at_rate(line, 25, 25, 50), line)
    uneven = resampled(line[[0, 3, 10]], np.array([0, 3, 10]) / 25, np.array([-1.0, 0.2, 9.0]))
    assert np.abs(uneven.ravel() - [0, 0.2, 0.4]).max() < 1e-6
    assert resampled(line[:1], np.zeros(1), np.array([0.0, 5.0])).ravel().tolist() == [0, 0]
