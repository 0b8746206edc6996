"""Prepare an avatar from a source image, one artefact after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact, PreprocessMode, SourceImage
from sadtalker_service.engines.detection import covered_eyes, landmarks_of, upright
from sadtalker_service.engines.mesh.canvas import Canvas, Rect, plan_canvas, scale_picture
from sadtalker_service.engines.mesh.faceframe import FaceFrame, fit_face_frame, rest_mouth
from sadtalker_service.engines.mesh.lashes import draw_lashes
from sadtalker_service.engines.mesh.lids import draw_lids, hold_still
from sadtalker_service.engines.mesh.mouth_interior import draw_mouth_interior
from sadtalker_service.engines.mesh.surface import build_surface, outline
from sadtalker_service.engines.mesh.tone import measure_tone
from sadtalker_service.faces.landmarker import CHIN, DEFAULT_MIN_FACE_PIXELS, FOREHEAD
from sadtalker_service.faces.matte import cut_out
from sadtalker_service.faces.networks import load_person_mask
from sadtalker_service.faces.topology import EYES, LANDMARKS

Artefacts = Mapping[str, Artefact]
StageFunction = Callable[[SourceImage, PreprocessMode, Artefacts], Artefact]

_REACH = {"extfull": 1.3}
"""Factor by which the moving region is wider than usual."""
_SOURCE_MARGIN = 0.12
"""Margin of source kept around a cropped window, in window sides, so that a moving head uncovers real
pixels."""


SMALL_FACE = (
    "The face will be only {height} pixels high in the video, because the source image is much larger than "
    "the face. Preprocess mode crop shows the face larger."
)


def fit_frame(source_image: SourceImage, mode: PreprocessMode, artefacts: Artefacts) -> Artefact:
    """`3dmm_coeffs`: axes, scale, origin and pose of the head, and the mouth at rest."""
    del source_image, mode
    landmarks = landmarks_of(artefacts)
    frame = fit_face_frame(landmarks)
    mouth = rest_mouth(frame.to_local(landmarks))
    pitch, yaw, roll = frame.pose
    return Artefact(
        {"axes": frame.axes.astype(np.float32), "origin": frame.origin.astype(np.float32)},
        {
            "scale": frame.scale,
            "pitch": pitch,
            "yaw": yaw,
            "roll": roll,
            "rest_opening": mouth.opening,
            "rest_width": mouth.width,
            "jaw_rest": mouth.jaw_opening,
        },
    )


def frame_of(artefacts: Artefacts) -> FaceFrame:
    """The face frame that `fit_frame` found, in pixels of the upright source image."""
    fit = artefacts["3dmm_coeffs"]
    return FaceFrame(
        fit.arrays["axes"].astype(np.float64),
        float(fit.record["scale"]),
        fit.arrays["origin"].astype(np.float64),
    )


def cut_region(source_image: SourceImage, mode: PreprocessMode, artefacts: Artefacts) -> Artefact:
    """`face_crop`: the part of the source image that moves, and the geometry of the canvas."""
    canvas, source_region, moving_region = _rectangles(source_image, mode, artefacts)
    picture = scale_picture(upright(source_image, artefacts), canvas.scale)
    x0, y0, x1, y1 = moving_region
    return Artefact(
        {"pixels": np.ascontiguousarray(picture[y0:y1, x0:x1])},
        {
            "scale": canvas.scale,
            "square": canvas.square,
            "window": list(canvas.window),
            "stage": list(source_region),  # the key that cached artefacts have
            "region": list(moving_region),
            "warnings": list(_small_face(landmarks_of(artefacts), canvas.scale)),
        },
    )


def _small_face(landmarks: NDArray[np.float32], scale: float) -> Iterator[str]:
    """Warn if the whole source image is shown and the face becomes too small."""
    height = scale * float(np.linalg.norm(landmarks[FOREHEAD, :2] - landmarks[CHIN, :2]))
    if height < DEFAULT_MIN_FACE_PIXELS:
        yield SMALL_FACE.format(height=round(height))


def build_rig(source_image: SourceImage, mode: PreprocessMode, artefacts: Artefacts) -> Artefact:
    """`face_mesh`: the surface with its channels, and the images of the inside of the mouth."""
    pixels = upright(source_image, artefacts)
    landmarks = landmarks_of(artefacts)
    frame = frame_of(artefacts)
    size = (pixels.shape[1], pixels.shape[0])
    surface = build_surface(landmarks, frame, size, _REACH.get(mode, 1.0))
    tone = measure_tone(pixels, landmarks, frame)
    local = frame.to_local(landmarks)
    hidden = covered_eyes(artefacts)
    basis = surface.basis.copy()
    for eye, is_hidden in zip(EYES, hidden, strict=True):
        if is_hidden:
            hold_still(basis, eye)
    points = frame.to_picture(surface.rest[:LANDMARKS])
    interior = draw_mouth_interior(pixels, frame, local, rest_mouth(local), tone)
    return Artefact(
        {
            "rest": surface.rest,
            "turning": surface.turning,
            "head": surface.head,
            "torso": surface.torso,
            "basis": basis,
            "shading": surface.shading,
            "triangles": surface.triangles.astype(np.int16),
            "lid_skin": draw_lids(pixels, points, frame.scale),
            "upper_teeth": interior.upper,
            "lower_teeth": interior.lower,
            "tongue": interior.tongue,
            "cavity": interior.cavity,
            "seam": tone.seam.astype(np.float32),
            "lashes": draw_lashes(pixels, points, frame.scale, tone.lash),
            "lash": tone.lash.astype(np.float32),
        },
        {"line": interior.line, "hidden_eyes": list(hidden)},
    )


def cut_background(source_image: SourceImage, mode: PreprocessMode, artefacts: Artefacts) -> Artefact:
    """`background`: the surroundings of the moving region, as four strips."""
    canvas, source_region, moving_region = _rectangles(source_image, mode, artefacts)
    picture = scale_picture(upright(source_image, artefacts), canvas.scale)
    (sx0, sy0, sx1, sy1), (x0, y0, x1, y1) = source_region, moving_region
    strips = {
        "top": picture[sy0:y0, sx0:sx1],
        "bottom": picture[y1:sy1, sx0:sx1],
        "left": picture[y0:y1, sx0:x0],
        "right": picture[y0:y1, x1:sx1],
    }
    return Artefact({name: np.ascontiguousarray(strip) for name, strip in strips.items()})


def cut_person(source_image: SourceImage, mode: PreprocessMode, artefacts: Artefacts) -> Artefact:
    """`person_matte`: how opaque the person is, and their colours, over the source region.

    Raises `PersonNotSeparable`.
    """
    canvas, (x0, y0, x1, y1), _moving = _rectangles(source_image, mode, artefacts)
    picture = scale_picture(upright(source_image, artefacts), canvas.scale)
    matte = cut_out(load_person_mask(), picture, landmarks_of(artefacts) * np.float32(canvas.scale))
    return Artefact(
        {
            "alpha": np.ascontiguousarray(matte.alpha[y0:y1, x0:x1]),
            "foreground": np.ascontiguousarray(matte.foreground[y0:y1, x0:x1]),
            "behind": np.ascontiguousarray(matte.behind[y0:y1, x0:x1]),
        }
    )


def _rectangles(
    source_image: SourceImage, mode: PreprocessMode, artefacts: Artefacts
) -> tuple[Canvas, Rect, Rect]:
    """Canvas, source region and moving region, in working pixels."""
    height, width = upright(source_image, artefacts).shape[:2]
    landmarks = landmarks_of(artefacts)
    canvas = plan_canvas(landmarks, (width, height), mode)
    limits = (max(2, round(width * canvas.scale)), max(2, round(height * canvas.scale)))
    source_region = canvas.window
    if mode in ("crop", "extcrop"):
        margin = round(_SOURCE_MARGIN * (source_region[2] - source_region[0]))
        source_region = _clip(
            (
                source_region[0] - margin,
                source_region[1] - margin,
                source_region[2] + margin,
                source_region[3] + margin,
            ),
            limits,
        )
    ring = outline(landmarks, frame_of(artefacts), (width, height), _REACH.get(mode, 1.0)) * canvas.scale
    low, high = np.floor(ring.min(axis=0)).astype(int) - 2, np.ceil(ring.max(axis=0)).astype(int) + 2
    reach = _clip((int(low[0]), int(low[1]), int(high[0]), int(high[1])), limits)
    moving_region = (
        max(reach[0], source_region[0]),
        max(reach[1], source_region[1]),
        min(reach[2], source_region[2]),
        min(reach[3], source_region[3]),
    )
    return canvas, source_region, moving_region


def _clip(rect: Rect, limits: tuple[int, int]) -> Rect:
    return max(rect[0], 0), max(rect[1], 0), min(rect[2], limits[0]), min(rect[3], limits[1])


RIG_STAGES: tuple[tuple[str, StageFunction], ...] = (
    ("3dmm_coeffs", fit_frame),
    ("face_crop", cut_region),
    ("face_mesh", build_rig),
    ("background", cut_background),
)
"""Stages after the face detection, in order."""


def build_all(source_image: SourceImage, mode: PreprocessMode, detection: Artefact) -> dict[str, Artefact]:
    """Build everything that rendering needs from a face detection."""
    artefacts = {"face_detection": detection}
    for name, stage in RIG_STAGES:
        artefacts[name] = stage(source_image, mode, artefacts)
    return artefacts
