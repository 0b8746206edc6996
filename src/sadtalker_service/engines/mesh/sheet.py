"""Contact sheet for inspecting an avatar: every mouth shape, a blink, and the turned head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sadtalker_service.domain import Avatar, Uint8Image
from sadtalker_service.engines.mesh.channels import INDEX
from sadtalker_service.engines.mesh.faceframe import RestMouth
from sadtalker_service.engines.mesh.kernels.scene import CONTROLS, GAZE_X, PITCH, ROLL, TONGUE, YAW
from sadtalker_service.engines.mesh.layout import lay_out
from sadtalker_service.engines.mesh.motion.lips import rest_closure, shape_controls
from sadtalker_service.engines.mesh.renderer import draw_stills
from sadtalker_service.options import RenderOptions
from sadtalker_service.speech.visemes import VISEMES

_COLUMNS = 5
_LABEL = (255, 220, 60)

_EYES = {"blink 1/2": 0.5, "blink": 1.0}
_POSES = {
    "yaw +8": (0.0, 8.0, 0.0),
    "yaw -8": (0.0, -8.0, 0.0),
    "pitch +6": (6.0, 0.0, 0.0),
    "pitch -6": (-6.0, 0.0, 0.0),
    "roll +7": (0.0, 0.0, 7.0),
}
"""Pitch, yaw, roll in degrees."""


def contact_sheet(avatar: Avatar, cell: int = 320) -> Uint8Image:
    """Draw the contact sheet of an avatar.

    Args:
        avatar: of the mesh engine, any preprocess mode. `crop` shows the mouth largest.
        cell: width of one image, pixels.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    labels, controls = _looks(avatar)
    layout = lay_out(avatar.artefacts, RenderOptions(preprocess=avatar.mode, size=512, quality="high"))
    x0, y0, x1, y1 = layout.box
    height = round(layout.background.shape[0] * cell / layout.background.shape[1])
    rows = -(-len(labels) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * cell, rows * height))
    for k, (label, moved) in enumerate(zip(labels, draw_stills(layout, controls), strict=True)):
        picture = layout.background.copy()
        picture[y0:y1, x0:x1] = moved
        small = Image.fromarray(picture).resize((cell, height), Image.Resampling.LANCZOS)
        ImageDraw.Draw(small).text((6, 4), label, fill=_LABEL, stroke_width=2, stroke_fill=(0, 0, 0))
        sheet.paste(small, (k % _COLUMNS * cell, k // _COLUMNS * height))
    return np.asarray(sheet)


def _looks(avatar: Avatar) -> tuple[list[str], NDArray[np.float32]]:
    fit = avatar.artefacts["3dmm_coeffs"].record
    mouth = RestMouth(float(fit["rest_opening"]), float(fit["rest_width"]))
    rows: dict[str, NDArray[np.float32]] = {"photo": np.zeros(CONTROLS, np.float32)}
    for viseme in VISEMES:
        channels, tongue = shape_controls(viseme, mouth)
        rows[viseme] = np.zeros(CONTROLS, np.float32)
        rows[viseme][: len(channels)] = channels
        rows[viseme][TONGUE] = tongue
    closed = np.zeros(CONTROLS, np.float32)
    closed[: len(rest_closure(mouth))] = rest_closure(mouth)
    for label, blink in _EYES.items():
        rows[label] = closed.copy()
        rows[label][[INDEX["blink_right"], INDEX["blink_left"]]] = blink
    rows["smile, brows"] = closed.copy()
    rows["smile, brows"][[INDEX["smile"], INDEX["brow"]]] = 1.0
    rows["gaze"] = closed.copy()
    rows["gaze"][GAZE_X] = 0.8
    for label, angles in _POSES.items():
        rows[label] = closed.copy()
        rows[label][[PITCH, YAW, ROLL]] = np.radians(angles)
    return list(rows), np.stack(list(rows.values()))
