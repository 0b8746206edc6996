"""Blinks and head motion of a reference video, in place of the generated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact, PreprocessMode, Uint8Image
from sadtalker_service.engines.sadtalker.alignment.alignment import AlignedFace, align
from sadtalker_service.engines.sadtalker.alignment.cropping import (
    FaceCrop,
    cut,
    into_square,
    plan_crop,
    shrunk,
    to_square,
)
from sadtalker_service.engines.sadtalker.alignment.landmarks68 import five_points, to_68
from sadtalker_service.engines.sadtalker.driving.coefficients import EXPRESSION, POSE, TakenOver, rows_of
from sadtalker_service.engines.sadtalker.driving.mel import VIDEO_RATE
from sadtalker_service.engines.sadtalker.driving.tracks import Float32, resampled, there_and_back
from sadtalker_service.errors import NoFaceFound

SIZE = 256
"""Side of the square that reference faces are read from, whatever the size of the rendered video."""
_BATCH = 16
"""Faces that are regressed together."""
_LEAST_STEP = 1 / 40
"""Minimum seconds between two frames that are read. At 50 or 60 frames per second, every second one is
enough."""

FindLandmarks = Callable[[Uint8Image], NDArray[np.floating] | None]
"""(H, W, 3) -> (478, 2 or 3) landmarks, or None if there is no face."""
Regress = Callable[[Uint8Image], Float32]
"""(n, 224, 224, 3) aligned faces -> (n, 257)."""


@dataclass(frozen=True, eq=False)
class ReferenceTrack:
    """The motion in a reference video, at the times when a face was found."""

    times: NDArray[np.float64]
    """(N,) seconds, ascending, N >= 1."""
    rows: Float32
    """(N, 73)"""

    def at_video_rate(self) -> Float32:
        """(M, 73) at 25 fps, whatever the frame rate of the video. Interpolated where no face was found."""
        seconds = float(self.times[-1] - self.times[0])
        count = int(seconds * VIDEO_RATE + 1e-3) + 1
        return resampled(self.rows, self.times - self.times[0], np.arange(count) / VIDEO_RATE)


def expressions(track: Float32, frames: int, first: int = 0) -> Float32:
    """(M, 73) at 25 fps -> (frames, 64) reference expression, including the person's blinks, from frame
    `first` on.

    A track that is too short is played back and forth, because a restart would jump.
    """
    return there_and_back(track[:, EXPRESSION], frames, first)


def motion(track: Float32, frames: int, first: int = 0) -> Float32:
    """(M, 73) at 25 fps -> (frames, 6) head motion relative to the first frame, from frame `first` on."""
    poses = track[:, POSE]
    return there_and_back(poses - poses[0], frames, first)


def read_reference(
    footage: Iterable[tuple[float, Uint8Image]],
    mode: PreprocessMode,
    find_landmarks: FindLandmarks,
    regress: Regress,
) -> ReferenceTrack:
    """Coefficients of a video, with one batch of frames in memory at a time.

    Args:
        footage: (seconds, uint8 (H, W, 3)) of each frame, ascending, upright.
        mode: preprocess mode of the crop. Every frame is cropped at the position of the face in the first
            frame.
        find_landmarks: finds the landmarks of one frame.
        regress: the 3DMM regression.

    Raises:
        NoFaceFound: no frame has a face.
    """
    faces = _aligned_faces(footage, mode, find_landmarks)
    times: list[float] = []
    rows: list[Float32] = []
    while batch := list(islice(faces, _BATCH)):
        times += [seconds for seconds, _ in batch]
        regressed = regress(np.stack([face.pixels for _, face in batch]))
        rows.append(rows_of(regressed, np.stack([face.placement for _, face in batch])))
    if not rows:
        raise NoFaceFound("No face was found in the reference video.")
    return ReferenceTrack(np.array(times), np.concatenate(rows))


def _aligned_faces(
    footage: Iterable[tuple[float, Uint8Image]], mode: PreprocessMode, find_landmarks: FindLandmarks
) -> Iterator[tuple[float, AlignedFace]]:
    crop: FaceCrop | None = None
    last = -np.inf
    for seconds, pixels in footage:
        if seconds - last < _LEAST_STEP:
            continue
        last = seconds
        landmarks = find_landmarks(pixels)
        if landmarks is None:
            continue
        points = to_68(landmarks)
        if crop is None:
            crop = plan_crop(points, (pixels.shape[1], pixels.shape[0]))
        rect = crop.rectangle(mode)
        square = to_square(cut(shrunk(pixels, crop), rect), SIZE)
        yield seconds, align(square, five_points(into_square(points, crop, rect, SIZE)))


def taken_over(what: Callable[[Float32, int, int], Float32], reference: Artefact | None) -> TakenOver | None:
    """What of a reference video is taken over, None without one."""
    return None if reference is None else partial(what, reference.arrays["rows"])
