"""Several faces in a picture, and faces that are small in a large one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import source_images as make

from sadtalker_service.errors import FaceTooSmall, InvalidOption
from sadtalker_service.faces.landmarker import FaceDetection, FaceLandmarker
from sadtalker_service.faces.search import MAX_TILES, tiles


def middle(found: FaceDetection) -> float:
    return (found.box[0] + found.box[2]) / 2


@pytest.mark.parametrize("scales", [(1.0, 0.8), (0.75, 0.9, 1.0), (0.7, 1.0, 0.8, 0.9)])
def test_faces_are_counted_by_their_size(scales: tuple[float, ...], landmarker: FaceLandmarker) -> None:
    picture = make.array(make.group(*scales))
    found = [landmarker.detect(picture, face) for face in range(len(scales))]
    assert [one.faces for one in found] == [len(scales)] * len(scales)
    by_size = sorted(range(len(scales)), key=lambda k: -scales[k])
    assert [middle(one) for one in found] == pytest.approx(
        [512 * k + make.MIDDLE * scales[k] for k in by_size], abs=15
    )
    for one in found:
        assert one.boxes == found[0].boxes
        assert one.box in one.boxes
        points = one.landmarks[:, :2]
        assert (np.abs(points.mean(axis=0)[0] - middle(one)) < one.height / 4).all()


def test_the_largest_face_is_the_default_and_does_not_depend_on_the_others(
    landmarker: FaceLandmarker,
) -> None:
    alone, beside = make.group(1.0), make.group(1.0, 0.8)
    wide = alone.copy().crop((0, 0, 1024, 512))
    one, other = landmarker.detect(make.array(wide)), landmarker.detect(make.array(beside))
    assert one.faces == 1
    assert np.abs(one.landmarks - other.landmarks).max() < 1.5


@pytest.mark.parametrize("face", [-1, 2, 10**9])
def test_a_face_that_is_not_there_is_refused_with_their_number(face: int, landmarker: FaceLandmarker) -> None:
    with pytest.raises(InvalidOption, match=r"has 2 faces. Choose from 0 \(the largest\) to 1") as caught:
        landmarker.detect(make.array(make.group(1.0, 0.8)), face)
    assert caught.value.param == "face_index"
    with pytest.raises(InvalidOption, match=r"has one face\. Leave it out"):
        landmarker.detect(make.array(make.example()), 1)


def test_a_small_face_can_be_chosen_only_if_it_has_enough_pixels(landmarker: FaceLandmarker) -> None:
    picture = make.array(make.group(1.0, 0.55))
    with pytest.raises(FaceTooSmall, match=r"Face 1 is 5\d pixels high"):
        landmarker.detect(picture, 1)
    assert landmarker.detect(picture).faces == 2


@pytest.mark.parametrize("left", [0, 5900, 11_480])
@pytest.mark.parametrize("turns", [0, 1])
def test_a_face_in_a_panorama_is_found(left: int, turns: int, landmarker: FaceLandmarker) -> None:
    found = landmarker.detect(np.rot90(make.array(make.panorama(12_000, left)), -turns))
    assert (found.quarter_turns, found.faces) == (turns, 1)
    assert middle(found) == pytest.approx(left + make.MIDDLE, abs=6)
    assert found.height == pytest.approx(make.FACE_HEIGHT, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(st.integers(1280, 20_000), st.integers(64, 4000), st.booleans())
def test_parts_cover_the_whole_picture(long: int, short: int, upright: bool) -> None:
    width, height = (short, long) if upright else (long, short)
    levels = list(tiles(width, height))
    assert levels
    for squares in levels[: 1 if short > 2500 else None]:
        side = squares[0].side
        for length, at in ((width, {s.x for s in squares}), (height, {s.y for s in squares})):
            edges = sorted(at)
            assert edges[0] - side / 2 <= 0
            assert edges[-1] + side / 2 >= length - 1e-6
            assert all(b - a <= 0.75 * side + 1e-6 for a, b in pairwise(edges))
    assert len(levels[0]) <= MAX_TILES


@pytest.mark.parametrize("size", [(1279, 1279), (64, 1000), (1, 1)])
def test_small_pictures_are_not_looked_at_in_parts(size: tuple[int, int]) -> None:
    assert list(tiles(*size)) == []
