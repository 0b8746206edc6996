"""Preview artefacts: a small image of every mouth shape, and the gestures as ready-made controls."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from sadtalker_service.domain import Artefact, PreprocessMode, SourceImage, Uint8Image
from sadtalker_service.engines.mesh import stages
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, TONGUE
from sadtalker_service.engines.mesh.layout import lay_out
from sadtalker_service.engines.mesh.motion.gestures import GESTURES, gesture_clip
from sadtalker_service.engines.mesh.motion.lips import shape_controls
from sadtalker_service.engines.mesh.renderer import draw_stills
from sadtalker_service.engines.port import MouthShapes
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.visemes import LETTER_VISEMES, VISEMES

SIDE = 192
"""Side of a viseme image, pixels."""


def viseme_pictures(
    source_image: SourceImage, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
) -> Artefact:
    """`visemes`: coefficients and images of the letters A E I O U M B P F V S T L R and of all visemes.

    `MouthShapes` with images of SIDE pixels, and `controls` float32 (15, CONTROLS), both in the order of
    `VISEMES`. All images have the same pose, so that they can be blended.
    """
    del mode
    crop = stages.build_all(source_image, "crop", artefacts["face_detection"])
    fit = artefacts["3dmm_coeffs"].record
    mouth = RestMouth(float(fit["rest_opening"]), float(fit["rest_width"]))
    controls = np.zeros((len(VISEMES), CONTROLS), np.float32)
    for row, viseme in zip(controls, VISEMES, strict=True):
        channels, tongue = shape_controls(viseme, mouth)
        row[: len(channels)] = channels
        row[TONGUE] = tongue
    layout = lay_out(crop, RenderOptions(preprocess="crop", size=2 * SIDE))
    asleep = controls[:1].copy()
    asleep[0, [INDEX["blink_right"], INDEX["blink_left"]]] = 1.0
    stills = draw_stills(layout, np.concatenate([controls, asleep]))
    *pictures, closed_eyes = (_shrink(picture) for picture in stills)
    shapes = MouthShapes(np.stack(pictures), tuple(VISEMES), LETTER_VISEMES, closed_eyes)
    return shapes.to_artefact(controls=controls)


def _shrink(picture: Uint8Image) -> Uint8Image:
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def gesture_clips(
    source_image: SourceImage, mode: PreprocessMode, artefacts: Mapping[str, Artefact]
) -> Artefact:
    """`gestures`: controls float32 (T, CONTROLS) of each gesture, 100 ticks per second."""
    del source_image, mode, artefacts
    return Artefact({name: gesture_clip(name).astype(np.float32) for name in GESTURES})
