"""The stages that turn a source image into an avatar, one artefact after the other.

| stage | depends on | holds |
|---|---|---|
| `face_detection` | source image | landmarks, box |
| `face_crop` | and mode, size | the square that the networks see, and its place in the source image |
| `3dmm_coeffs` | and mode, size | a row of coefficients |
| `face_mesh` | and mode, size | features and keypoints of the source |
| `background` | and mode | the background, in the modes that show it |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sadtalker_service.domain import HEIGHT_CAP, Artefact, PreprocessMode, SourceImage, width_cap
from sadtalker_service.engines.detection import landmarks_of, upright
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
from sadtalker_service.engines.sadtalker.driving.coefficients import rows_of, source_semantics
from sadtalker_service.engines.sadtalker.inference_port import Networks
from sadtalker_service.engines.sadtalker.pasting import scaled_down
from sadtalker_service.errors import NoFaceFound

Artefacts = Mapping[str, Artefact]

LARGEST = (int(width_cap("high")), HEIGHT_CAP["high"])
"""Width and height of the largest video. No larger background is kept."""


FIRST_SIZE = 256
"""Stage names without a size mean this size. For any other size the name includes it."""


def named(stage: str, size: int) -> str:
    """Name of a stage for videos of `size`."""
    return stage if size == FIRST_SIZE else f"{stage}_{size}"


def is_full_frame(mode: PreprocessMode) -> bool:
    """Whether the mode shows the whole source image. The mapping network then also gets the position of the
    face."""
    return mode in {"full", "extfull"}


def crop_face(source_image: SourceImage, mode: PreprocessMode, artefacts: Artefacts, size: int) -> Artefact:
    """`face_crop`. Raises `NoFaceFound` if the face is outside the source image."""
    pixels = upright(source_image, artefacts)
    try:
        crop = plan_crop(to_68(landmarks_of(artefacts)), (pixels.shape[1], pixels.shape[0]))
    except ValueError as error:
        raise NoFaceFound(f"{error} Use an image that shows the whole face.", param="source_image") from error
    square = to_square(cut(shrunk(pixels, crop), crop.rectangle(mode)), size)
    return Artefact({"square": square}, record_of(crop))


def align_face(artefacts: Artefacts, face_crop: Artefact, mode: PreprocessMode) -> AlignedFace:
    """The face in the square, aligned for the 3DMM regression."""
    square, crop = face_crop.arrays["square"], crop_of(face_crop)
    points = into_square(to_68(landmarks_of(artefacts)), crop, crop.rectangle(mode), len(square))
    return align(square, five_points(points))


def regress_coefficients(
    artefacts: Artefacts, face_crop: Artefact, mode: PreprocessMode, networks: Networks
) -> Artefact:
    """`3dmm_coeffs`: the row of 73 coefficients."""
    aligned = align_face(artefacts, face_crop, mode)
    rows = rows_of(networks.regress(aligned.pixels[None]), aligned.placement[None])
    return Artefact({"row": rows[0]})


def encode_face(
    face_crop: Artefact, coefficients: Artefact, mode: PreprocessMode, networks: Networks
) -> Artefact:
    """`face_mesh`: features and keypoints."""
    full_frame = is_full_frame(mode)
    row = source_semantics(coefficients.arrays["row"], full_frame=full_frame)
    face = networks.encode(face_crop.arrays["square"], row, full_frame=full_frame)
    return Artefact({"volume": face.volume, "canonical": face.canonical, "keypoints": face.keypoints})


def cut_background(source_image: SourceImage, mode: PreprocessMode, artefacts: Artefacts) -> Artefact:
    """`background`: the source image and its moving rectangle, no larger than any video shows it.

    Empty in the modes that show only the moving part.
    """
    if not is_full_frame(mode):
        return Artefact({})
    pixels = upright(source_image, artefacts)
    crop = plan_crop(to_68(landmarks_of(artefacts)), (pixels.shape[1], pixels.shape[0]))
    picture, factors = scaled_down(shrunk(pixels, crop), LARGEST)
    rectangle = [side * factor for side, factor in zip(crop.rectangle(mode), factors * 2, strict=True)]
    return Artefact({"picture": np.ascontiguousarray(picture)}, {"rectangle": rectangle})


def record_of(crop: FaceCrop) -> dict[str, Any]:
    """A crop as JSON values."""
    return {
        "shrink": crop.shrink,
        "size": list(crop.size),
        "wide": list(crop.wide),
        "quad": list(crop.quad),
    }


def crop_of(artefact: Artefact) -> FaceCrop:
    """The crop that `record_of` wrote."""
    record = artefact.record
    width, height = record["size"]
    x0, y0, x1, y1 = record["wide"]
    left, top, right, bottom = record["quad"]
    return FaceCrop(record["shrink"], (width, height), (x0, y0, x1, y1), (left, top, right, bottom))
