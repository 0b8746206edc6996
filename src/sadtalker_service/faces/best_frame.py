"""Choose the frame of an animation or a video that shows its face best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Uint8Image
from sadtalker_service.errors import FaceTooSmall, InvalidInput, NoFaceFound
from sadtalker_service.faces.covered import EYE_DISTANCE_MM, to_lab
from sadtalker_service.faces.landmarker import FaceDetection, FaceLandmarker
from sadtalker_service.faces.sampling import Square, sample
from sadtalker_service.faces.topology import EYES, LOWER_LIP, UPPER_LIP
from sadtalker_service.media.animation import Frame

FADED = 0.7
"""A face is faded if its contrast is below this share of the contrast in the clearest frame."""

UNFADED = 0.9
"""The first frame with at least this share of the best contrast replaces a faded one."""

SIDE = 160
"""Faces are compared at this size, pixels."""

CLOSED_MM, OPEN_EYE, STRAIGHT = 1.0, 0.3, 0.12
"""Thresholds for the pose of a face. A mouth that is open by less than the first, in mm, is closed. An eye is
open if its height is at least the second, in eye widths. A face looks straight ahead if its nose is off the
middle by less than the third, in distances between the eyes."""

_NOSE = 1


@dataclass(frozen=True)
class View:
    """How well a frame shows its face."""

    contrast: float
    """Standard deviation of the lightness (L*) in the face's square."""
    sharpness: float
    """Mean square of the Laplacian of the lightness there."""
    mouth_mm: float
    """Distance between the inner lips."""
    eyes: float
    """Height of the narrower eye, in eye widths."""
    aside: float
    """Distance of the nose from the middle between the eyes, in distances between the eyes."""

    @property
    def score(self) -> float:
        """Score of the frame, higher is better.

        Halving the sharpness costs as much as a mouth that is open by 4 mm, or eyes that are half closed.
        """
        return float(
            0.5 * np.log(self.sharpness + 1e-3)
            - 0.18 * max(0.0, self.mouth_mm - CLOSED_MM)
            - 1.5 * max(0.0, 1 - self.eyes / OPEN_EYE)
            - 2.0 * max(0.0, self.aside - STRAIGHT)
        )


def best_of_video(frames: Iterable[Frame], landmarker: FaceLandmarker) -> tuple[Frame, int]:
    """The best frame of the largest face, and the number of frames examined.

    The best one is sharp, with the mouth closed, the eyes open, and the face straight on.

    Only one frame is in memory besides the best one.

    Raises NoFaceFound, FaceTooSmall, and whatever `frames` raises.
    """
    best: tuple[float, Frame] | None = None
    refusal: InvalidInput = NoFaceFound(
        "No face was found in the video. Use a video that shows a face from the front."
    )
    looked_at = 0
    for frame in frames:
        looked_at += 1
        try:
            score = view_of(frame.pixels, landmarker.detect(frame.pixels)).score
        except FaceTooSmall as error:
            refusal = error
            continue
        except NoFaceFound:
            continue
        if best is None or score > best[0]:
            best = score, frame
    if best is None:
        raise refusal
    return best[1], looked_at


def best_of_animation(frames: Iterable[Frame], landmarker: FaceLandmarker) -> Frame | None:
    """The first frame, unless its face is faded or missing. Then the first frame with a clear face.

    None if no frame has a face. Raises whatever `frames` raises.
    """
    kept: list[tuple[float, Frame]] = []
    for frame in frames:
        try:
            contrast = view_of(frame.pixels, landmarker.detect(frame.pixels)).contrast
        except (NoFaceFound, FaceTooSmall):
            continue
        # Keep a frame as a candidate only if it has more contrast than all earlier ones.
        if not kept or contrast > kept[-1][0]:
            kept.append((contrast, frame))
    if not kept:
        return None
    highest = kept[-1][0]
    if kept[0][1].number == 1 and kept[0][0] >= FADED * highest:
        return kept[0][1]
    return next(frame for contrast, frame in kept if contrast >= UNFADED * highest)


def view_of(pixels: Uint8Image, face: FaceDetection) -> View:
    """Measure how well an image shows a face that was found in it."""
    turned = np.rot90(pixels, face.quarter_turns)
    x0, y0, x1, y1 = face.box
    square = Square((x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0))
    lightness = to_lab(sample(np.ascontiguousarray(turned), square.matrix(SIDE), SIDE, "repeat"))[..., 0]
    inner = lightness[1:-1, 1:-1]
    around = lightness[:-2, 1:-1] + lightness[2:, 1:-1] + lightness[1:-1, :-2] + lightness[1:-1, 2:]
    p = face.landmarks.astype(np.float64)[:, :2]
    outer = [p[eye.corners[0]] for eye in EYES]
    distance = float(np.linalg.norm(outer[1] - outer[0]))
    gaps = np.linalg.norm(p[list(UPPER_LIP[-1][3:8])] - p[list(LOWER_LIP[-1][3:8])], axis=1)
    across = (outer[1] - outer[0]) / distance
    return View(
        contrast=float(lightness.std()),
        sharpness=float(((around - 4 * inner) ** 2).mean()),
        mouth_mm=float(np.median(gaps)) * EYE_DISTANCE_MM / distance,
        eyes=min(_openness(p, side) for side in range(2)),
        aside=abs(float((p[_NOSE] - (outer[0] + outer[1]) / 2) @ across)) / distance,
    )


def _openness(p: NDArray[np.float64], side: int) -> float:
    eye = EYES[side]
    heights = np.linalg.norm(p[list(eye.upper_lid[2:5])] - p[list(eye.lower_lid[2:5])], axis=1)
    return float(heights.mean() / max(1e-6, np.linalg.norm(p[eye.corners[0]] - p[eye.corners[1]])))
