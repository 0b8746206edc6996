"""Find the faces of an image and the 478 landmarks of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Uint8Image
from sadtalker_service.errors import FaceTooSmall, NoFaceFound
from sadtalker_service.faces.detector import FULL_RANGE, SHORT_RANGE, Candidate, Detector
from sadtalker_service.faces.networks import load_networks
from sadtalker_service.faces.numbering import no_such_face
from sadtalker_service.faces.refined_mesh import Mesh, RefinedMesh
from sadtalker_service.faces.search import FAR, MAX_FACES, NEAR, TILED, Range, View, is_same, likely_turns

DEFAULT_MIN_FACE_PIXELS = 64
"""Lip landmarks of smaller faces are wrong by 2 mm or more."""

MIN_PRESENCE = 0.9
"""Faces have 0.9999 and more. False positives of the detector seldom have this much."""

FOREHEAD, CHIN = 10, 152

Box = tuple[float, float, float, float]
Face = tuple[Candidate, Mesh]


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """A face of an image, by default the largest. Pixels are those of the image after its quarter turns."""

    box: Box
    """x0, y0, x1, y1: brows to chin, as detected. May extend beyond the image."""
    score: float
    """Confidence of the detector, 0..1."""
    presence: float
    """Confidence of the landmark network, 0..1."""
    boxes: tuple[Box, ...]
    """Boxes of all faces found, at most 10, in the form of `box`, largest first. If there is a large face,
    faces in the distance are not included."""
    landmarks: NDArray[np.float32]
    """float32 (478, 3): x, y in pixels, and z in the same unit, smaller towards the camera. See
    `topology`."""
    quarter_turns: int
    """0..3: quarter turns counterclockwise, as in `np.rot90`, that make the image upright."""

    @property
    def faces(self) -> int:
        """Number of faces found."""
        return len(self.boxes)

    @property
    def height(self) -> float:
        """Distance from the top of the forehead to the chin, pixels."""
        return float(np.linalg.norm(self.landmarks[FOREHEAD, :2] - self.landmarks[CHIN, :2]))


class FaceLandmarker:
    """Finds the faces of an image. Load it once. Safe to call from several threads at once."""

    def __init__(self, min_face_pixels: int = DEFAULT_MIN_FACE_PIXELS) -> None:
        """Load the networks. `min_face_pixels` is the smallest face height.

        Raises EngineUnavailable if the models are damaged.
        """
        near, mesh = load_networks("short_range", "landmarks")
        self._near = Detector(near, SHORT_RANGE)
        self._mesh = RefinedMesh(mesh)
        self.min_face_pixels = min_face_pixels

    @cached_property
    def _far(self) -> Detector:
        """Loaded on first use, because most images do not need it."""
        (network,) = load_networks("full_range")
        return Detector(network, FULL_RANGE)

    def _detector(self, limits: Range) -> Detector:
        return self._near if limits is NEAR else self._far

    def detect(self, pixels: Uint8Image, face_index: int = 0) -> FaceDetection:
        """Detect a face in uint8 (H, W, 3) RGB: the largest, or the one with this `face_index` by size.

        Raises NoFaceFound and FaceTooSmall. Raises InvalidOption if there are fewer faces, and ValueError if
        `pixels` is not such an array.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"expected uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
        views = [View(pixels, turns, self._detector) for turns in range(4)]
        for turns in likely_turns(views):
            for limits in (NEAR, FAR, TILED):  # all distances before the next, less likely turn
                found = self._all(views[turns], limits)
                if found:
                    return self._report(found, turns, face_index)
        for turns in likely_turns(views[:2], (TILED,)):  # either orientation detects a face on its side
            found = self._all(views[turns], TILED)
            if found:
                return self._report(found, turns, face_index)
        raise NoFaceFound(
            "No face was found in the source image. Use a photo that shows one face from the front, "
            f"well lit, not covered, and at least {self.min_face_pixels} pixels high."
        )

    def _faces(
        self, view: View, limits: Range, candidates: Iterable[Candidate], known: Sequence[Face] = ()
    ) -> list[Face]:
        """Faces that both networks accept and that are not in `known`, largest first."""
        found: list[Face] = []
        for candidate in candidates:
            face = view.settle(candidate, limits)
            if face is not None and not any(is_same(face, other) for other, _ in (*known, *found)):
                mesh = self._mesh.landmarks(view.picture, face)
                if mesh.presence >= MIN_PRESENCE:
                    found.append((face, mesh))
        return sorted(found, key=_side, reverse=True)

    def _all(self, view: View, limits: Range) -> list[Face]:
        """Faces found at one of the distances, and others of similar size, largest first."""
        found = self._faces(view, limits, view.candidates(limits))
        if not found:
            return []
        more = self._faces(view, FAR, view.like(found[0][0]), known=found)
        return [found[0], *sorted([*found[1:], *more], key=_side, reverse=True)][:MAX_FACES]

    def _report(self, found: list[Face], turns: int, face_index: int) -> FaceDetection:
        if not 0 <= face_index < len(found):
            raise no_such_face(face_index, len(found))
        face, mesh = found[face_index]
        boxes = tuple(_box(face) for face, _ in found)
        detection = FaceDetection(boxes[face_index], face.score, mesh.presence, boxes, mesh.landmarks, turns)
        if detection.height < self.min_face_pixels:
            which = f"Face {face_index}" if face_index else "The largest face"
            raise FaceTooSmall(
                f"{which} is {detection.height:.0f} pixels high, but at least {self.min_face_pixels} are "
                "needed. Use a photo with more pixels, or one taken from closer."
            )
        return detection


def _side(face: Face) -> float:
    return face[0].side


def _box(face: Candidate) -> Box:
    x0, y0, x1, y1 = face.box.tolist()
    return x0, y0, x1, y1
