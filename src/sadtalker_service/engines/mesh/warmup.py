"""Compile every kernel before the first request needs it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sadtalker_service.domain import Artefact, Avatar, Motion, SourceImage
from sadtalker_service.engines.mesh import stages
from sadtalker_service.engines.mesh.channels import CHANNELS
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS
from sadtalker_service.engines.mesh.renderer import render
from sadtalker_service.faces.topology import LANDMARKS
from sadtalker_service.media.backdrop import in_front_of
from sadtalker_service.options import RenderOptions


def warm_up_renderer() -> None:
    """Render one frame of a plain image with random landmarks.

    This compiles the kernels or loads the cache.
    """
    source_image = SourceImage("", np.full((128, 128, 3), 127, np.uint8))
    detection = Artefact({"landmarks": _scattered_landmarks(128)}, {"quarter_turns": 0})
    artefacts = stages.build_all(source_image, "crop", detection)
    x0, y0, x1, y1 = artefacts["face_crop"].record["stage"]
    opaque = np.full((y1 - y0, x1 - x0), 255, np.uint8)
    artefacts["person_matte"] = Artefact({"alpha": opaque, "foreground": np.repeat(opaque[..., None], 3, 2)})
    avatar = Avatar("", "mesh", "crop", artefacts)
    controls = np.full((1, CONTROLS), 0.1, np.float32)
    controls[0, len(CHANNELS) :] = 0.01
    for colour in (None, "#000000"):
        options = RenderOptions(preprocess="crop", size=128, background=colour)
        rendering = render(avatar, iter([Motion(25, {"controls": controls})]), options)
        shown = in_front_of(rendering, colour, None) if colour else rendering
        for batch in shown.batches:
            del batch


def _scattered_landmarks(side: int) -> NDArray[np.float32]:
    """float32 (478, 3): random points in a square image, except the few that set scale and axes."""
    points = np.random.default_rng(0).uniform(0.3 * side, 0.7 * side, (LANDMARKS, 3))
    fixed = {
        33: (0.3, 0.4),
        263: (0.7, 0.4),
        10: (0.5, 0.2),
        152: (0.5, 0.9),
        61: (0.4, 0.7),
        291: (0.6, 0.7),
    }
    for index, (x, y) in fixed.items():
        points[index] = x * side, y * side, 0.0
    return points.astype(np.float32)
