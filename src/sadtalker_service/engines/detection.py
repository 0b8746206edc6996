"""First stage of the engines that start from a face. It finds the face and the turns that make it upright."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact, SourceImage, Uint8Image
from sadtalker_service.errors import MouthOutsidePicture
from sadtalker_service.faces.covered import EYE_DISTANCE_MM, find_covered
from sadtalker_service.faces.landmarker import Box, FaceDetection, FaceLandmarker
from sadtalker_service.faces.topology import EYES, LIPS

DETECTION = "face_detection"
"""Name of the stage."""

BESIDE_LIPS_MM = 3.0
"""Smallest distance from the lips to the image border. If the image ends at the lips, their landmarks lie on
the border or beyond it."""

LIKE_SIZE = 0.5
"""A face of at least this size, relative to the largest, could be the intended one."""

SEVERAL = (
    "The source image shows {count} faces of similar size. The largest was used. "
    "Set face_index to choose another."
)
MOUTH_COVERED = "The mouth seems to be covered. It is drawn over the cover. Use a photo that shows the lips."


def detect_face(landmarker: FaceLandmarker, source_image: SourceImage) -> Artefact:
    """Detect the face: box, score, landmarks, the turns that make it upright, and the boxes of all faces.

    Raises `NoFaceFound`, `FaceTooSmall`, `MouthOutsidePicture`, and `InvalidOption` if the chosen face does
    not exist.
    """
    found = landmarker.detect(source_image.pixels, source_image.face_index)
    pixels = np.rot90(source_image.pixels, found.quarter_turns)
    _check_mouth(found, (pixels.shape[1], pixels.shape[0]))
    covered = find_covered(pixels, found.landmarks)
    return Artefact(
        {"landmarks": found.landmarks},
        {
            "box": list(found.box),
            "score": float(found.score),
            "faces": found.faces,
            "boxes": [list(box) for box in found.boxes],
            "quarter_turns": found.quarter_turns,
            "covered_eyes": list(covered.eyes),
            "warnings": [
                *source_image.warnings,
                *_remarks(found, source_image.face_index, mouth_covered=covered.mouth),
            ],
        },
    )


def upright(source_image: SourceImage, artefacts: Mapping[str, Artefact]) -> Uint8Image:
    """Pixels of the source image, turned upright as the detection says."""
    return np.rot90(source_image.pixels, artefacts[DETECTION].record["quarter_turns"])


def landmarks_of(artefacts: Mapping[str, Artefact]) -> NDArray[np.float32]:
    """Landmarks (478, 3) in pixels of the upright source image."""
    landmarks: NDArray[np.float32] = artefacts[DETECTION].arrays["landmarks"]
    return landmarks


def covered_eyes(artefacts: Mapping[str, Artefact]) -> tuple[bool, bool]:
    """Whether the right and the left eye are behind dark glasses or something similar."""
    right, left = artefacts[DETECTION].record.get("covered_eyes", (False, False))
    return right, left


def face_boxes(detection: Artefact, size: tuple[int, int]) -> tuple[Box, ...]:
    """Boxes of all faces, largest first, in pixels of the source image as it was uploaded.

    `size` is the (width, height) of that image. The result has one box if the engine reports one face, and
    none if it reports none.
    """
    record = detection.record
    boxes = record.get("boxes") or ([record["box"]] if record.get("box") else [])
    turns = int(record.get("quarter_turns", 0))
    return tuple(turned_back((x0, y0, x1, y1), turns, size) for x0, y0, x1, y1 in boxes)


def turned_back(box: Box, quarter_turns: int, size: tuple[int, int]) -> Box:
    """Box in the image before its quarter turns.

    `box` was found after `quarter_turns` counterclockwise turns (`np.rot90`). `size` is the (width, height)
    before them.
    """
    for turn in reversed(range(quarter_turns % 4)):
        width = size[turn % 2]  # of the image before this turn
        x0, y0, x1, y1 = box
        box = (width - y1, x0, width - y0, x1)
    return box


def _check_mouth(found: FaceDetection, size: tuple[int, int]) -> None:
    """Raises `MouthOutsidePicture` if the image ends at the mouth."""
    corners = found.landmarks[[EYES[0].corners[0], EYES[1].corners[0]], :2]
    margin = BESIDE_LIPS_MM * float(np.linalg.norm(corners[1] - corners[0])) / EYE_DISTANCE_MM
    lips = found.landmarks[list(LIPS), :2]
    if (lips < margin).any() or (lips > np.array(size) - margin).any():
        raise MouthOutsidePicture(
            "The source image ends at or above the mouth, so there are no lips to move. "
            "Use a photo that shows the whole face down to the chin.",
            param="source_image",
        )


def _remarks(found: FaceDetection, face_index: int, *, mouth_covered: bool) -> Iterator[str]:
    sides = [max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in found.boxes]
    like = sum(side >= LIKE_SIZE * sides[0] for side in sides)
    if like > 1 and not face_index:
        yield SEVERAL.format(count=like)
    if mouth_covered:
        yield MOUTH_COVERED
