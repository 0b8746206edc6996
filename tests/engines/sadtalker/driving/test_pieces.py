"""A video whose audio comes piece by piece has the frames of one that is heard at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.sadtalker_inputs import RATE, rows_of_parts

from sadtalker_service.domain import Artefact
from sadtalker_service.engines.sadtalker.driving import parts
from sadtalker_service.engines.sadtalker.driving.blinking import blinks
from sadtalker_service.engines.sadtalker.driving.coefficients import settled_blinks
from sadtalker_service.engines.sadtalker.driving.mel import mel_windows
from sadtalker_service.engines.sadtalker.driving.parts import Part, with_neighbours
from sadtalker_service.engines.sadtalker.driving.pieces import Piece, heard, idle, whole_frames
from sadtalker_service.engines.sadtalker.driving.tracks import SMOOTHED_OVER, at_rate, smoothed

SIZE = 160
"""Frames of a piece. Blinks of fewer than 140 frames depend on their number."""


def columns_of(samples: int) -> Any:
    """Mel columns (M, 80) of audio of this length, all different."""
    count = 1 + samples // 640 * 640 // 200
    return np.arange(count * 80, dtype=np.float32).reshape(count, 80)


def arriving(mel: Any, seconds: float, cuts: list[int]) -> Iterator[Artefact]:
    edges = [0, *sorted(min(cut, len(mel)) for cut in cuts), len(mel)]
    for start, end in itertools.pairwise(edges):
        last = end == len(mel)
        yield Artefact({"mel": mel[start:end]}, {"end": seconds if last else None})


@settings(deadline=None, max_examples=60)
@example(162 * 640, [])
@given(st.integers(640, 30 * RATE), st.lists(st.integers(1, 2500), max_size=6))
def test_pieces_do_not_depend_on_how_the_audio_came(samples: int, cuts: list[int]) -> None:
    mel, seconds = columns_of(samples), samples / RATE
    total = whole_frames(seconds, 25)
    wanted = mel_windows(mel, np.arange(total))
    found = list(heard(arriving(mel, seconds, cuts), None, SIZE))
    assert [piece.first for piece in found] == list(range(0, total, SIZE))
    assert [piece.is_last for piece in found] == [False] * (len(found) - 1) + [True]
    assert found[-1].duration == seconds
    for piece in found:
        assert np.array_equal(piece.windows, wanted[piece.first : piece.first + SIZE + 1])
        assert np.array_equal(
            settled_blinks(piece, 5), blinks(total, 5)[piece.first : piece.first + piece.frames]
        )


def test_a_piece_comes_before_the_end_of_the_audio() -> None:
    mel, taken = columns_of(60 * RATE), []

    def features() -> Iterator[Artefact]:
        for artefact in arriving(mel, 60.0, [1024, 2048, 3072, 4096]):
            taken.append(artefact)
            yield artefact

    first = next(heard(features(), None))
    assert (first.first, first.frames, len(taken)) == (0, 256, 1)


def test_a_given_length_counts() -> None:
    """More audio than wanted is heard, but not shown; after its end comes its last column."""
    mel = columns_of(20 * RATE)
    for seconds, lengths in ((8.0, [160, 40]), (24.0, [160, 160, 160, 120])):
        found = list(heard(arriving(mel, 20.0, [1024]), seconds, SIZE))
        assert [piece.frames for piece in found] == lengths
        assert found[-1].duration == seconds
    assert np.array_equal(found[-1].windows[-1], np.repeat(mel[-1:].T, 16, axis=1))


def test_an_idle_video_has_pieces_too() -> None:
    found = list(idle(10.0, 128))
    assert [(piece.first, piece.frames) for piece in found] == [(0, 128), (128, 122)]
    assert not any(piece.windows.any() for piece in found)


def test_blinks_that_may_still_change_are_refused() -> None:
    with pytest.raises(ValueError, match="may still change"):
        settled_blinks(Piece(0, np.zeros((101, 80, 16), np.float32), 130, exactly=False, duration=None), 1)


def cut_up(track: Any, cuts: list[int], duration: float) -> Iterator[Part]:
    edges = [0, *sorted({min(cut, len(track) - 1) for cut in cuts if cut}), len(track)]
    for start, end in itertools.pairwise(edges):
        yield Part(track[start:end], duration if end == len(track) else None)


tracks = st.integers(1, 200).map(lambda n: np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32))
some_cuts = st.lists(st.integers(1, 200), max_size=5)


@settings(deadline=None)
@example(np.arange(42, dtype=np.float32).reshape(14, 3) ** 2, [13])
@given(tracks, some_cuts)
def test_smoothing_part_by_part_is_that_of_the_whole(track: Any, cuts: list[int]) -> None:
    def smooth(rows: Any, first: int) -> Any:
        assert np.array_equal(rows, track[first : first + len(rows)])
        return smoothed(rows)

    # a part that is not the last has enough frames for the filter
    cuts = [cut for cut in cuts if 2 * SMOOTHED_OVER < cut < len(track)]
    found = rows_of_parts(with_neighbours(cut_up(track, cuts, len(track) / 25), SMOOTHED_OVER, smooth))
    assert np.abs(found - smoothed(track)).max() < 1e-6


@settings(deadline=None)
@given(tracks, some_cuts, st.sampled_from([1, 10, 24, 30, 50, 60]))
def test_another_rate_part_by_part_is_that_of_the_whole(track: Any, cuts: list[int], fps: int) -> None:
    duration = len(track) / 25
    wanted = at_rate(track, 25, fps, whole_frames(duration, fps))
    found = rows_of_parts(parts.at_rate(cut_up(track, cuts, duration), 25, fps, whole_frames))
    assert np.array_equal(found, wanted)
