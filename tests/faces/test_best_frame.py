"""The frame that shows a face best, of a video; the first one that does at all, of an animation."""

from __future__ import annotations

import itertools

import pytest
from PIL import Image
from tests.support import source_images as make

from sadtalker_service.errors import FaceTooSmall, NoFaceFound
from sadtalker_service.faces.best_frame import best_of_animation, best_of_video, view_of
from sadtalker_service.faces.landmarker import FaceLandmarker
from sadtalker_service.media.animation import Frame

BAD: tuple[make.State, ...] = ("open", "wide", "blink", "blurred")
EMPTY = Image.new("RGB", (256, 256), (90, 120, 90))


def frames(*pictures: Image.Image) -> list[Frame]:
    return [Frame(make.array(picture), number) for number, picture in enumerate(pictures, 1)]


@pytest.mark.parametrize("order", list(itertools.permutations(("good", *BAD)))[::17])
def test_the_sharp_frame_with_closed_mouth_and_open_eyes_is_the_best(
    order: tuple[make.State, ...], landmarker: FaceLandmarker
) -> None:
    best, count = best_of_video(frames(*(make.talking()[state] for state in order)), landmarker)
    assert order[best.number - 1] == "good"
    assert count == 5


def test_a_view_measures_what_its_names_say(landmarker: FaceLandmarker) -> None:
    views = {
        state: view_of(make.array(picture), landmarker.detect(make.array(picture)))
        for state, picture in make.talking().items()
    }
    assert views["good"].mouth_mm < 2
    assert 6 < views["open"].mouth_mm < views["wide"].mouth_mm
    assert views["blink"].eyes < 0.12
    assert views["good"].eyes > 0.25
    assert views["blurred"].sharpness < 0.2 * views["good"].sharpness
    assert views["good"].aside < 0.1


def test_frames_without_a_face_are_passed_over(landmarker: FaceLandmarker) -> None:
    best, _ = best_of_video(frames(EMPTY, make.talking()["open"], EMPTY), landmarker)
    assert best.number == 2
    with pytest.raises(NoFaceFound, match="in the video"):
        best_of_video(frames(EMPTY, EMPTY), landmarker)
    with pytest.raises(FaceTooSmall):
        best_of_video(frames(EMPTY, make.talking()["good"].resize((96, 96))), landmarker)


@pytest.mark.parametrize(
    ("steps", "taken"),
    [
        ((0.0, 0.5, 1.0), 3),
        ((0.3, 0.6, 0.97, 1.0), 3),
        ((1.0, 1.0), 1),
        ((0.9, 1.0), 1),
        ((1.0, 0.5, 0.0), 1),
    ],
)
def test_a_faded_beginning_of_an_animation_is_passed_over(
    steps: tuple[float, ...], taken: int, landmarker: FaceLandmarker
) -> None:
    found = best_of_animation(frames(*make.fading_in(steps)), landmarker)
    assert found is not None
    assert found.number == taken


def test_a_title_before_the_face_is_passed_over(landmarker: FaceLandmarker) -> None:
    found = best_of_animation(frames(EMPTY, make.talking()["wide"], make.talking()["good"]), landmarker)
    assert found is not None
    assert found.number == 2
    assert best_of_animation(frames(EMPTY, EMPTY), landmarker) is None
