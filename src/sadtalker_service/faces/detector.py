"""Detect faces in a square of an image, with the BlazeFace detectors of MediaPipe (arXiv:1907.05047)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Uint8Image
from sadtalker_service.faces.networks import Network
from sadtalker_service.faces.sampling import Square, into_picture, sample

SAME_FACE = 0.3
"""Boxes that overlap by more than this (intersection over union) show one face."""


@dataclass(frozen=True)
class DetectorShape:
    """How the candidates of a detector are laid out in its input."""

    size: int
    """Side of the input, pixels."""
    strides: tuple[int, ...]
    """Distance between neighbouring candidates, pixels, one entry for each grid."""
    per_cell: tuple[int, ...]
    """Candidates at each point of a grid."""

    def anchors(self) -> NDArray[np.float32]:
        """Centres (N, 2) of the candidates, 0..1."""
        grids = []
        for stride, count in zip(self.strides, self.per_cell, strict=True):
            cells = self.size // stride
            v, u = (np.mgrid[:cells, :cells].reshape(2, -1) + 0.5) / cells
            grids.append(np.repeat(np.column_stack([u, v]), count, axis=0))
        return np.concatenate(grids).astype(np.float32)


SHORT_RANGE = DetectorShape(128, (8, 16), (2, 6))
FULL_RANGE = DetectorShape(192, (4,), (1,))


@dataclass(frozen=True, eq=False)
class Candidate:
    """A face found by a detector."""

    score: float
    """0..1."""
    box: NDArray[np.float64]
    """(4,): x0, y0, x1, y1 in pixels of the image. May extend beyond it."""
    keypoints: NDArray[np.float64]
    """(6, 2) pixels: right eye, left eye, nose, mouth, right ear, left ear (the person's own)."""

    @property
    def corners(self) -> NDArray[np.float64]:
        """The box as (2, 2): upper left, lower right."""
        return self.box.reshape(2, 2)

    @property
    def roll(self) -> float:
        """Angle of the line from the right eye to the left, radians, clockwise as seen. 0 is level."""
        dx, dy = self.keypoints[1] - self.keypoints[0]
        return float(np.arctan2(dy, dx))

    @property
    def side(self) -> float:
        """The longer side of the box, pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box, pixels."""
        return float(self.box[0] + self.box[2]) / 2, float(self.box[1] + self.box[3]) / 2


class Detector:
    """One of the two detectors. Safe to call from several threads at once."""

    def __init__(self, network: Network, shape: DetectorShape) -> None:
        self.shape = shape
        self._network = network
        self._anchors = shape.anchors()

    def crop(self, pixels: Uint8Image, square: Square) -> Uint8Image:
        """A square of an image as `best_score` and `detect` expect it: uint8 (size, size, 3)."""
        return sample(pixels, square.matrix(self.shape.size), self.shape.size, "black")

    def best_score(self, crop: Uint8Image) -> float:
        """Score of the best candidate in a crop, 0..1."""
        return float(self._run(crop)[0].max())

    def detect(self, crop: Uint8Image, square: Square, threshold: float) -> list[Candidate]:
        """Faces with at least this score in the crop of a square, best first, in pixels of the image."""
        scores, points = self._run(crop)
        keep = scores >= threshold
        placed = into_picture(square.matrix(self.shape.size), points[keep] * self.shape.size)
        return merge_overlapping(scores[keep], placed)

    def _run(self, crop: Uint8Image) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Scores (N,) and points (N, 8, 2) of every candidate, 0..1.

        The points are box corners, then keypoints.
        """
        outputs = self._network(crop * np.float32(2 / 255) - 1)
        raw = outputs["boxes"].reshape(-1, 8, 2) / self.shape.size  # centre, size, keypoints
        centre, half = raw[:, 0] + self._anchors, raw[:, 1] / 2
        keypoints = raw[:, 2:] + self._anchors[:, None]
        points = np.concatenate([(centre - half)[:, None], (centre + half)[:, None], keypoints], axis=1)
        logits = np.clip(outputs["logits"].astype(np.float64), -100, 100)
        return 1 / (1 + np.exp(-logits)), points


def merge_overlapping(scores: NDArray[np.float64], points: NDArray[np.float64]) -> list[Candidate]:
    """Non-maximum suppression that merges the candidates of each face.

    A merged face is the mean of its candidates weighted by their scores, and has the best score. `points` is
    (N, 8, 2): two corners, six keypoints.
    """
    faces = []
    order = np.argsort(-scores, kind="stable")
    while len(order):
        same = overlap(points[order[0], :2], points[order, :2]) > SAME_FACE
        same[0] = True
        weights = scores[order[same]]
        mean = np.einsum("n,nij->ij", weights, points[order[same]]) / weights.sum()
        faces.append(Candidate(float(weights[0]), mean[:2].reshape(4), mean[2:]))
        order = order[~same]
    return faces


def overlap(one: NDArray[np.float64], many: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of a box (2, 2) with boxes (N, 2, 2), given as corners."""
    sides = np.minimum(one[1], many[:, 1]) - np.maximum(one[0], many[:, 0])
    shared = np.clip(sides, 0, None).prod(axis=1)
    areas = (many[:, 1] - many[:, 0]).prod(axis=1) + (one[1] - one[0]).prod()
    ratio: NDArray[np.float64] = shared / np.maximum(areas - shared, np.finfo(np.float64).tiny)
    return ratio
