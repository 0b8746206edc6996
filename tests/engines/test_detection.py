"""The first stage: which face, whether its mouth is in the picture, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support import source_images as make

from sadtalker_service.domain import SourceImage
from sadtalker_service.engines.detection import MOUTH_COVERED, covered_eyes, detect_face, face_boxes
from sadtalker_service.errors import InvalidOption, MouthOutsidePicture
from sadtalker_service.faces.landmarker import FaceLandmarker


@pytest.fixture(scope="module")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker()


@pytest.mark.parametrize("height", [make.NOSE + 3, make.UPPER_LIP, make.SEAM, make.LOWER_LIP])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_picture_that_ends_at_the_mouth_is_refused(
    height: float, turns: int, landmarker: FaceLandmarker
) -> None:
    pixels = np.ascontiguousarray(np.rot90(make.array(make.cut_below(height)), turns))
    with pytest.raises(MouthOutsidePicture, match="shows the whole face down to the chin") as caught:
        detect_face(landmarker, SourceImage("", pixels))
    assert caught.value.status == 422


def test_a_picture_cut_through_the_mouth_from_the_side_is_refused(landmarker: FaceLandmarker) -> None:
    pixels = make.array(make.example())
    for part in (pixels[:, : round(make.MIDDLE) + 21], pixels[:, round(make.MIDDLE) - 21 :]):
        with pytest.raises(MouthOutsidePicture):
            detect_face(landmarker, SourceImage("", np.ascontiguousarray(part)))


@pytest.mark.parametrize("height", [make.CHIN - 8, make.CHIN, 300])
def test_a_picture_that_shows_the_lips_is_taken(height: float, landmarker: FaceLandmarker) -> None:
    found = detect_face(landmarker, SourceImage("", make.array(make.cut_below(height))))
    assert found.record["warnings"] == []


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_boxes_of_all_faces_are_in_pixels_of_the_picture_as_it_came(
    turns: int, landmarker: FaceLandmarker
) -> None:
    pixels = np.ascontiguousarray(np.rot90(make.array(make.group(1.0, 0.8)), turns))
    boxes = face_boxes(detect_face(landmarker, SourceImage("", pixels)), (pixels.shape[1], pixels.shape[0]))
    assert len(boxes) == 2
    places = [(223.0, 124.0), (512 + 0.8 * 223.0, 102.4 + 0.8 * 124.0)]
    for box, (x, y) in zip(boxes, places, strict=True):
        expected = [(x, y), (y, 1024 - x), (1024 - x, 512 - y), (512 - y, x)][turns]
        assert ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) == pytest.approx(expected, abs=14)


def test_faces_of_like_size_are_told_unless_one_was_chosen(landmarker: FaceLandmarker) -> None:
    group = make.array(make.group(1.0, 0.8, 0.7))
    (words,) = detect_face(landmarker, SourceImage("", group)).record["warnings"]
    assert words.startswith("The source image shows 3 faces of similar size. The largest was used.")
    assert "face_index" in words
    assert detect_face(landmarker, SourceImage("", group, face_index=1)).record["warnings"] == []
    with pytest.raises(InvalidOption, match="has 3 faces"):
        detect_face(landmarker, SourceImage("", group, face_index=3))


def test_what_was_said_before_and_what_covers_the_face_is_told(landmarker: FaceLandmarker) -> None:
    masked = SourceImage("", make.array(make.masked((150, 190, 220))), warnings=("It was a video.",))
    assert detect_face(landmarker, masked).record["warnings"] == ["It was a video.", MOUTH_COVERED]
    shaded = detect_face(landmarker, SourceImage("", make.array(make.shaded(eyes=(1,)))))
    assert covered_eyes({"face_detection": shaded}) == (False, True)
