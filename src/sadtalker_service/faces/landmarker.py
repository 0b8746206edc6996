"""From a picture to its largest face and 478 landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Uint8Image
from sadtalker_service.errors import FaceTooSmall, NoFaceFound
from sadtalker_service.faces.detector import FULL_RANGE, SHORT_RANGE, Candidate, Detector
from sadtalker_service.faces.networks import load_networks
from sadtalker_service.faces.refined_mesh import Mesh, RefinedMesh
from sadtalker_service.faces.search import FAR, NEAR, Range, View, likely_turns

DEFAULT_MIN_FACE_PIXELS = 64
"""On smaller faces the landmarks of the lips are wrong by 2 mm and more."""

MIN_PRESENCE = 0.9
"""Faces have 0.9999 and more; what only the detector takes for a face seldom has this much."""

FOREHEAD, CHIN = 10, 152


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """The largest face of a picture. Pixels are those of the picture after its quarter turns."""

    box: tuple[float, float, float, float]
    """x0, y0, x1, y1: brows to chin, as the detector sees it; may reach beyond the picture."""
    score: float
    """How sure the detector is, 0..1."""
    presence: float
    """How sure the landmark network is, 0..1."""
    faces: int
    """Number of faces found, at most 10; beside a large face, those in the distance are not counted."""
    landmarks: NDArray[np.float32]
    """float32 (478, 3): x, y pixels; z in the same unit, smaller is nearer to the camera. See `topology`."""
    quarter_turns: int
    """0..3: quarter turns counter-clockwise, as `np.rot90` makes them, that made the picture upright."""

    @property
    def height(self) -> float:
        """From the top of the forehead to the chin, pixels."""
        return float(np.linalg.norm(self.landmarks[FOREHEAD, :2] - self.landmarks[CHIN, :2]))


class FaceLandmarker:
    """Finds the largest face of a picture. Load once; may be called from several threads at once."""

    def __init__(self, min_face_pixels: int = DEFAULT_MIN_FACE_PIXELS) -> None:
        """`min_face_pixels`: least height of a face. Raises EngineUnavailable if the models are damaged."""
        near, mesh = load_networks("short_range", "landmarks")
        self._near = Detector(near, SHORT_RANGE)
        self._mesh = RefinedMesh(mesh)
        self.min_face_pixels = min_face_pixels

    @cached_property
    def _far(self) -> Detector:
        """Loaded when a picture first needs it: most do not."""
        (network,) = load_networks("full_range")
        return Detector(network, FULL_RANGE)

    def _detector(self, limits: Range) -> Detector:
        return self._near if limits is NEAR else self._far

    def detect(self, pixels: Uint8Image) -> FaceDetection:
        """The largest face in uint8 (H, W, 3) RGB.

        Raises NoFaceFound, FaceTooSmall; ValueError if `pixels` is no such array.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"expected uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
        views = [View(pixels, turns, self._detector) for turns in range(4)]
        for turns in likely_turns(views):
            for limits in (NEAR, FAR):
                found = list(self._faces(views[turns], limits))
                if found:
                    return self._report(found, turns)
        raise NoFaceFound(
            "No face was found in the picture. Use a photo in which one face is seen from the front, "
            "well lit, not covered, and at least a tenth of the picture high."
        )

    def _faces(self, view: View, limits: Range) -> Iterator[tuple[Candidate, Mesh]]:
        """Faces of an upright picture that both networks believe in, largest first."""
        for candidate in view.candidates(limits):
            face = view.settle(candidate, limits)
            if face is not None:
                mesh = self._mesh.landmarks(view.picture, face)
                if mesh.presence >= MIN_PRESENCE:
                    yield face, mesh

    def _report(self, found: list[tuple[Candidate, Mesh]], turns: int) -> FaceDetection:
        face, mesh = max(found, key=lambda pair: pair[0].side)
        x0, y0, x1, y1 = face.box.tolist()
        detection = FaceDetection(
            (x0, y0, x1, y1), face.score, mesh.presence, len(found), mesh.landmarks, turns
        )
        if detection.height < self.min_face_pixels:
            raise FaceTooSmall(
                f"The largest face is {detection.height:.0f} pixels high; at least {self.min_face_pixels} "
                "are needed. Use a photo with more pixels, or one taken from closer by."
            )
        return detection
