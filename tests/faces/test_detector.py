"""Candidates of a detector become one face each."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sadtalker_service.faces.detector import FULL_RANGE, SHORT_RANGE, merge_overlapping, overlap


def candidate(x: float, y: float, side: float) -> NDArray[np.float64]:
    """(8, 2): a square box at (x, y), all keypoints at its centre."""
    centre = [x + side / 2, y + side / 2]
    return np.array([[x, y], [x + side, y + side], *[centre] * 6])


def test_anchors_are_the_centres_of_the_cells() -> None:
    near, far = SHORT_RANGE.anchors(), FULL_RANGE.anchors()
    assert near.shape == (16 * 16 * 2 + 8 * 8 * 6, 2)
    assert far.shape == (48 * 48, 2)
    assert near[:3].tolist() == [[1 / 32, 1 / 32], [1 / 32, 1 / 32], [3 / 32, 1 / 32]]
    assert near[512].tolist() == [1 / 16, 1 / 16]
    assert far[48].tolist() == pytest.approx([1 / 96, 3 / 96])


def test_candidates_of_one_face_are_averaged_by_their_scores() -> None:
    points = np.stack([candidate(0, 0, 10), candidate(2, 0, 10), candidate(50, 50, 10)])
    faces = merge_overlapping(np.array([0.6, 0.9, 0.7]), points)
    assert [face.score for face in faces] == [0.9, 0.7]
    assert faces[0].box.tolist() == pytest.approx([1.2, 0, 11.2, 10])
    assert faces[0].keypoints[0].tolist() == pytest.approx([6.2, 5])
    assert faces[1].box.tolist() == pytest.approx([50, 50, 60, 60])


def test_faces_side_by_side_stay_apart() -> None:
    points = np.stack([candidate(0, 0, 10), candidate(6, 0, 10)])
    assert len(merge_overlapping(np.array([0.8, 0.8]), points)) == 2


def test_no_candidates_give_no_faces() -> None:
    assert merge_overlapping(np.zeros(0), np.zeros((0, 8, 2))) == []


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[[0, 0], [2, 2]], [[1, 0], [3, 2]], [[2, 2], [3, 3]], [[5, 5], [5, 5]]], float)
    assert overlap(boxes[0], boxes).tolist() == pytest.approx([1, 1 / 3, 0, 0])
    assert overlap(boxes[3], boxes[3:]).tolist() == [0]
